"""What the readers of DICOM objects beside images share: files by their class, and their volume."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from data_prep.bookmarks.formats.object_versions import read_each
from data_prep.bookmarks.record import Options, ReadResult
from data_prep.errors import DataError
from data_prep.paths import check_relative
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.stored import only_data_errors
from data_prep.volumes.volume import Volume, read_volume

STORAGE = "1.2.840.10008.5.1.4.1.1."


def kind_of(path: Path) -> str:
    """Return the SOP class of a DICOM file; empty if it is none."""
    try:
        with only_data_errors(path.name):
            found = read_header(path, path.name).get("SOPClassUID", "") if is_dicom(path) else ""
            return str(found)
    except DataError:
        return ""


def files_below(folder: Path) -> Iterator[Path]:
    """Walk the files below a folder, sorted; hidden ones and linked folders are left out."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(files) if not name.startswith("."))


def classes_in(path: Path) -> frozenset[str]:
    """Return the SOP classes of a DICOM file, or of all files below a folder."""
    files = files_below(path) if path.is_dir() else [path]
    return frozenset(kind_of(file) for file in files)


def read_all(
    path: Path, name: str, what: str, read_one: Callable[[Path, str], ReadResult]
) -> ReadResult:
    """Read a file, or each file below a folder; of a folder one bad file does not stop the rest.

    Args:
        path: File or folder.
        name: How messages call it.
        what: How messages call such an object.
        read_one: Reads a file of a name.
    """
    if not path.is_dir():
        try:
            with only_data_errors(name):
                return _not_empty(read_one(path, name), name, what)
        except DataError as error:
            raise DataError(error.message, path=error.path or name, row=error.row) from None
    files = [(file, f"{name}/{file.relative_to(path).as_posix()}") for file in files_below(path)]
    return _not_empty(read_each(files, read_one), name, what)


def _not_empty(result: ReadResult, name: str, what: str) -> ReadResult:
    if not result.records and not result.errors:
        raise DataError(
            f"Expected {what} with lesions but got none. Export it again.",
            path=name,
        )
    return result


def checked(path: Path, name: str, classes: tuple[str, ...], what: str) -> Dataset:
    """Return an object with its pixels, if it has any; raise if it is of another class."""
    if not is_dicom(path):
        raise DataError(f"Expected {what} but got no DICOM file. Name the objects.", path=name)
    data = read_header(path, name, with_pixels=True)
    if not str(data.get("SOPClassUID", "")).startswith(classes):
        raise DataError(
            f"Expected {what} but got another DICOM object. Name the objects in a folder of their"
            " own.",
            path=name,
        )
    return data


def volume_named(options: Options, series: set[str]) -> str:
    """Return the volume of an object: as stated, or that of the one series it refers to."""
    if options.volume is not None:
        return check_relative(options.volume)
    if len(series) != 1:
        raise DataError(
            f"Expected a reference to one series but got {len(series)}. Name the volume with"
            " --bookmark-volume."
        )
    return series_named(next(iter(series)), options)


def series_named(uid: str, options: Options) -> str:
    """Return the volume of a series in the image folder.

    Raises:
        DataError: It is not there, or at several places.
    """
    if options.images is None:
        return f".#{uid}"
    volume = options.images.by_series(uid)
    if volume is None:
        raise DataError(
            f"Expected the series {uid} in the image folder but found it nowhere. Copy it there, or"
            " name the volume (--bookmark-volume; in a table, column volume)."
        )
    return volume


def foreign_notes(data: Dataset, volume: Volume, name: str) -> list[str]:
    """Return notes on a segmentation or structure set that was drawn elsewhere than on a volume."""
    found = {"ReferencedSOPInstanceUID": set(), "FrameOfReferenceUID": set()}
    for entry in data.iterall():
        for keyword, uids in found.items():
            if entry.keyword == keyword and entry.value:
                uids.add(str(entry.value))
    images = {uid.partition("#")[0] for uid in volume.slice_uids}
    frames, notes = {volume.frame_uid} - {""}, []
    for own, referred, what in (
        (images, found["ReferencedSOPInstanceUID"], "refers to other images than those of"),
        (frames, found["FrameOfReferenceUID"], "has another frame of reference than"),
    ):
        if own and referred and not own & referred:
            notes.append(f"{name}: {what} {volume.source_id}; its positions in mm were taken.")
    return notes


def read_grid(options: Options, volume: str) -> Volume:
    """Read the volume on whose grid an object is to be drawn."""
    if options.images is None:
        raise DataError("Expected the image folder but got none. Name it (image_root).")
    root, choice = Path(options.images.root), options.images.choice
    return read_volume(
        root / volume,
        root=root,
        nifti_form=options.nifti_form,
        nan="fill",
        series_rule=choice.rule,
        modality=choice.modality,
        series_description=choice.description,
    )
