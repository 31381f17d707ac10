"""DICOM segmentations (SEG): one lesion per segment, measured as label masks are.

Frames are laid on the grid of the image volume by their own positions, so that left-out empty
frames and any order of frames do no harm. Segments may overlap.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from data_prep.bookmarks.formats.dicom_objects import (
    STORAGE,
    checked,
    foreign_notes,
    read_all,
    read_grid,
    volume_named,
)
from data_prep.bookmarks.formats.label_masks import measure_labels
from data_prep.bookmarks.record import Options, ReadResult
from data_prep.errors import DataError
from data_prep.volumes import decode_server
from data_prep.volumes.dicom.frames import frame_groups, slices_of
from data_prep.volumes.dicom.patient_key import key_of_header
from data_prep.volumes.dicom.slice_order import SliceInfo
from data_prep.volumes.segment_names import choose
from data_prep.volumes.stored import check_size
from data_prep.volumes.volume import Volume

OPTIONS = frozenset({"volume", "patient", "slices", "binary_masks", "segments"})
CLASSES = (f"{STORAGE}66.4", f"{STORAGE}66.7")
TOLERANCE_PX = 0.1
_PLAIN = (
    *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian),
    DeflatedExplicitVRLittleEndian,
)


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Measure a segmentation or a folder of them; `row` of a record is its segment number."""
    return read_all(path, name, "a segmentation", lambda f, label: _read_one(f, label, options))


def _read_one(path: Path, name: str, options: Options) -> ReadResult:
    data = checked(path, name, CLASSES, "a segmentation")
    name_of_volume = volume_named(options, set(referenced_series(data)))
    volume = read_grid(options, name_of_volume)
    result = ReadResult()
    try:
        chosen, result.notes = choose(segment_names(data), options.segments, name)
    except DataError as error:
        result.refuse(error, name_of_volume)
        return result
    result.notes += foreign_notes(data, volume, name)
    masks = segments(data, volume, name, chosen)
    for number, mask in masks.items():
        if not mask.any():
            message = "Expected a segment with voxels but got an empty one. Remove it."
            result.refuse(DataError(message, path=name, row=number), name_of_volume)
            continue
        labels = replace(volume, array=mask.astype(np.uint16))
        found = measure_labels(labels, name_of_volume, name, options)
        key = key_of_header(data)
        found.records = [replace(r, row=number, patient_key=key) for r in found.records]
        result.add(found)
    return result


def segment_names(data: Dataset) -> dict[int, str]:
    """Return the label of each segment, or its coded type if it has none."""
    found = {}
    for item in data.SegmentSequence:
        types = item.get("SegmentedPropertyTypeCodeSequence", None) or ({},)
        coded = types[0].get("CodeMeaning", "")
        found[int(item.SegmentNumber)] = str(item.get("SegmentLabel", "") or coded or "")
    background = {0} if str(data.get("SegmentationType", "")) == "LABELMAP" else set()
    return {number: name for number, name in found.items() if number not in background}


def referenced_series(data: Dataset) -> Iterable[str]:
    """Yield the UIDs of the series that a segmentation or presentation state refers to."""
    for one in data.get("ReferencedSeriesSequence", None) or ():
        yield str(one.SeriesInstanceUID)


def segments(
    data: Dataset, volume: Volume, name: str, chosen: Collection[int]
) -> dict[int, np.ndarray]:
    """Return the voxels `(Z, Y, X)` of the chosen segments, on the axial grid of the volume.

    Raises:
        DataError: Frames on another grid, a compression that is not read, or damage.
    """
    syntax = str(data.file_meta.get("TransferSyntaxUID", ""))
    if syntax not in _PLAIN and (syntax != RLELossless or int(data.BitsAllocated) < 8):
        raise DataError(
            "Expected uncompressed pixels, or bytes by RLE, but got another compression. Save it"
            " without.",
            path=name,
        )
    infos = slices_of(data, name, 0)
    frames = _frames(data, (len(infos), infos[0].rows, infos[0].columns), name)
    kind = str(data.get("SegmentationType", "BINARY"))
    if kind == "FRACTIONAL":
        frames = frames >= float(data.MaximumFractionalValue) / 2
    check_size((*volume.stored_size, max(1, len(chosen))), name)
    masks = {number: np.zeros(volume.array.shape, bool) for number in sorted(chosen)}
    known = segment_names(data)
    for frame, info, groups in zip(frames, infos, frame_groups(data, name), strict=True):
        place = _indices(info, volume, name)
        if kind == "LABELMAP":
            present = set(np.unique(frame).tolist()) - {0}
            _check_known(present, known, name)
            for number in present.intersection(masks):
                masks[number][place] |= frame == number
        else:
            number = _segment_number(data, groups)
            _check_known({number}, known, name)
            if number in masks:
                masks[number][place] |= frame > 0
    return masks


def _check_known(numbers: set[int], known: Mapping[int, str], name: str) -> None:
    if unknown := sorted(numbers - set(known)):
        raise DataError(
            f"Expected voxels of the segments that it lists but got segment {unknown[0]}. Export it"
            " again.",
            path=name,
        )


def _frames(data: Dataset, shape: tuple[int, int, int], name: str) -> np.ndarray:
    """Return the stored frames; compressed ones are decoded by a process of their own."""
    if data.file_meta.TransferSyntaxUID.is_compressed:
        files = [(Path(data.filename), name)]
        return decode_server.decode(files, decoded_bytes=4 * math.prod(shape))[0]
    return np.asarray(data.pixel_array).reshape(shape)


def _segment_number(data: Dataset, groups: tuple[Dataset, ...]) -> int:
    for group in groups:
        for item in group.get("SegmentIdentificationSequence", None) or ():
            return int(item.ReferencedSegmentNumber)
    raise DataError("Expected the segment of each frame but got none. Export it again.")


def _indices(info: SliceInfo, volume: Volume, name: str) -> tuple[np.ndarray, ...]:
    """Return the axial indices z, y, x `(rows, columns)` of the pixels of a frame."""
    origin = np.array(info.position)
    along, down = np.array(info.orientation[:3]), np.array(info.orientation[3:])
    down, along = down * info.pixel_spacing[0], along * info.pixel_spacing[1]
    last = np.array([info.columns - 1, info.rows - 1])
    corners = np.stack([origin, origin + last[0] * along, origin + last[1] * down])
    index = volume.from_patient_mm(corners)
    whole = np.round(index)
    size = np.array(volume.array.shape[::-1])
    if np.abs(index - whole).max() > TOLERANCE_PX or (whole < 0).any() or (whole >= size).any():
        raise DataError(
            f"Expected frames on the grid of {volume.source_id} but got others. Resample the"
            " segmentation to the image.",
            path=name,
        )
    steps = [(whole[i] - whole[0]) / max(last[i - 1], 1) for i in (1, 2)]
    if any(np.abs(step).sum() > 1 or (step != np.round(step)).any() for step in steps):
        raise DataError(
            f"Expected pixels of the size of {volume.source_id} but got others. Resample the"
            " segmentation to the image.",
            path=name,
        )
    rows, columns = np.mgrid[: info.rows, : info.columns]
    parts = (whole[0][:, None, None] + steps[0][:, None, None] * columns) + (
        steps[1][:, None, None] * rows
    )
    x, y, z = parts.astype(np.int64)
    return z, y, x
