"""DICOM segmentations and structure sets as label masks of a volume: one label per segment."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from data_prep.bookmarks.formats import dicom_rtstruct, dicom_seg
from data_prep.bookmarks.formats.dicom_objects import foreign_notes, kind_of
from data_prep.errors import DataError, quoted
from data_prep.paths import relative_name
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.search.file_names import strip_image_word, strip_mask_word, strip_suffix
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.segment_names import choose
from data_prep.volumes.stored import only_data_errors
from data_prep.volumes.volume import Volume, read_labels

_CLASSES = dicom_seg.CLASSES + dicom_rtstruct.CLASSES


class DicomMasks:
    """The DICOM segmentations and structure sets below a folder, by the series of their images.

    Args:
        folder: The folder's index.
    """

    def __init__(self, folder: VolumeIndex) -> None:
        self.folder = folder

    @cached_property
    def files(self) -> dict[str, frozenset[str]]:
        """UIDs of the series that each object refers to, by its path below the folder."""
        found = {}
        for name in sorted(self.folder.files):
            file = self.folder.root / name
            if kind_of(file).startswith(_CLASSES):
                found[name] = frozenset(_series(read_header(file, name)))
        return found

    def mask_of(self, volume: str, series: str | None) -> str | None:
        """Return the object of a volume: of its series, or of its name if it has none.

        Args:
            volume: Path of the volume.
            series: UID of its series; None if it is no DICOM series.

        Raises:
            DataError: Several fit.
        """
        found = [f for f, uids in self.files.items() if series in uids]
        if not found:
            name = strip_suffix(volume.rpartition("/")[2]).casefold()
            called = {*self._by_name[name], *self._by_name[strip_image_word(name)]}
            found = sorted(f for f in called if series is None or not self.files[f])
        if len(found) > 1:
            raise DataError(
                f"Expected one segmentation or structure set of a volume but got {len(found)}:"
                f" {quoted(found[0], 1000)} and {quoted(found[1], 1000)}. Keep the one that counts"
                " in --masks; several may be given with --bookmarks.",
                path=volume,
            )
        return found[0] if found else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found = defaultdict(list)
        for file in self.files:
            stem = file.rpartition("/")[2].casefold().removesuffix(".dcm")
            found[strip_mask_word(stem)].append(file)
        return found


def refuse_objects(path: Path) -> None:
    """Raise DataError if segmentations or structure sets lie where only label maps are read."""
    files = (
        DicomMasks(VolumeIndex(path)).files
        if path.is_dir()
        else {path.name}
        if _is_object(path)
        else ()
    )
    if files:
        raise DataError(
            f"Expected label maps but got {len(files)} DICOM segmentations or structure sets, e.g."
            f" {quoted(min(files), 1000)}. Save them as NIfTI or NRRD on the grid of their volumes,"
            " e.g. with 3D Slicer, and move them elsewhere.",
            path=path.name,
        )


def _is_object(path: Path) -> bool:
    return path.is_file() and kind_of(path).startswith(_CLASSES)


def read_mask(
    path: Path,
    like: Volume,
    *,
    root: str,
    allow_empty: bool,
    nifti_form: str,
    segments: str | None = None,
) -> Volume:
    """Read the mask of a volume: a label map, a DICOM segmentation, or a DICOM structure set.

    See `data_prep.volumes.volume.read_labels`, and `segment_names.choose` for `segments`.

    Raises:
        DataError: Whatever is wrong with the mask, and segments that overlap.
    """
    if path.is_dir() or not path.exists() or not is_dicom(path):
        return read_labels(
            path,
            like,
            root=root,
            allow_empty=allow_empty,
            nifti_form=nifti_form,
            segments=segments,
        )
    name = relative_name(path, root)
    with only_data_errors(name):
        data = read_header(path, name, with_pixels=True)
        masks, notes = _segments(data, like, name, segments)
        notes += foreign_notes(data, like, name)
        labels = np.zeros(
            like.array.shape, np.uint16 if max(masks, default=0) < 2**16 else np.uint32
        )
        for number, mask in masks.items():
            if labels[mask].any():
                raise DataError(
                    f"Expected segments apart from each other but got {number} and"
                    f" {labels[mask].max()}, which share voxels. Leave one out, or give it with"
                    " --bookmarks.",
                    path=name,
                )
            labels[mask] = number
    empty = sorted(number for number, mask in masks.items() if not mask.any())
    if len(empty) == len(masks) and not allow_empty:
        raise DataError(
            "Expected at least one labelled voxel but got an empty mask. Remove it or list the "
            "volume as one without lesions.",
            path=name,
        )
    if empty:
        notes.append(f"{name}: {len(empty)} of {len(masks)} segments hold no voxel.")
    return replace(like, array=labels, source_id=name, notes=tuple(notes))


def _segments(
    data: Dataset, like: Volume, name: str, pattern: str | None
) -> tuple[dict[int, np.ndarray], list[str]]:
    """Return the voxels of each segment that is a lesion, and notes."""
    kind = str(data.get("SOPClassUID", ""))
    if not kind.startswith(_CLASSES):
        raise DataError(
            "Expected a label map, a segmentation (SEG) or a structure set (RTSTRUCT) but got"
            " another DICOM object. Save the mask as one of these.",
            path=name,
        )
    if kind.startswith(dicom_seg.CLASSES):
        chosen, notes = choose(dicom_seg.segment_names(data), pattern, name)
        return dicom_seg.segments(data, like, name, chosen), notes
    regions = dicom_rtstruct.regions(data)
    chosen, notes = dicom_rtstruct.choose_regions(regions, pattern, name)
    found = {}
    for row in sorted(chosen):
        if not regions[row].contours:
            found[row] = np.zeros(like.array.shape, bool)
            continue
        try:
            found[row] = dicom_rtstruct.region_mask(regions[row].contours, like, name, row)
        except DataError as error:
            raise DataError(error.message, path=name, row=row) from None
    return found, notes


def _series(data: Dataset) -> set[str]:
    try:
        with only_data_errors(""):
            if str(data.get("SOPClassUID", "")).startswith(dicom_seg.CLASSES):
                return set(dicom_seg.referenced_series(data))
            return set(dicom_rtstruct.referenced_series(data))
    except DataError:  # broken; then it belongs to no series
        return set()
