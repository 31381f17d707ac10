"""DICOM structure sets (RTSTRUCT): one lesion per region of interest, drawn on the volume's grid.

Contours of one slice are combined by exclusive or, so that a contour inside another is a hole.
Voxels whose centres lie on a contour belong to the region, also where the contour is a hole's:
programs that draw through centres (OpenCV's) draw holes so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from data_prep.bookmarks.formats.dicom_objects import (
    STORAGE,
    checked,
    foreign_notes,
    read_all,
    read_grid,
    volume_named,
)
from data_prep.bookmarks.formats.label_masks import measure_labels
from data_prep.bookmarks.locate import axial_points
from data_prep.bookmarks.one_axis import fill
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.errors import DataError
from data_prep.volumes.dicom.patient_key import key_of_header
from data_prep.volumes.segment_names import choose
from data_prep.volumes.volume import Volume

OPTIONS = frozenset({"volume", "patient", "slices", "binary_masks", "segments"})
CLASSES = (f"{STORAGE}481.3",)
# Interpreted types that are no tissue to treat or spare. Some programs write ORGAN for everything.
NO_LESION = ("EXTERNAL", "MARKER", "ISOCENTER", "BOLUS", "SUPPORT", "FIXATION", "REGISTRATION")
# How far from a plane of voxels a contour may lie, as a share of their distance.
ON_PLANE = 0.1
_PLANAR = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Measure structure sets; `row` of a record is the 1-based number of its region."""
    return read_all(path, name, "a structure set", lambda f, label: _read_one(f, label, options))


def _read_one(path: Path, name: str, options: Options) -> ReadResult:
    data = checked(path, name, CLASSES, "a structure set")
    volume_name = volume_named(options, set(referenced_series(data)))
    volume = read_grid(options, volume_name)
    result = ReadResult()
    found = regions(data)
    try:
        chosen, result.notes = choose_regions(found, options.segments, name)
    except DataError as error:
        result.refuse(error, volume_name)
        return result
    result.notes += foreign_notes(data, volume, name)
    for row in sorted(chosen):
        contours = found[row].contours
        try:
            mask = region_mask(contours, volume, name, row)
        except DataError as error:
            result.refuse(DataError(error.message, path=name, row=row), volume_name)
            continue
        labels = replace(volume, array=mask.astype(np.uint16))
        measured = measure_labels(labels, volume_name, name, options)
        key = key_of_header(data)
        measured.records = [replace(r, row=row, patient_key=key) for r in measured.records]
        result.add(measured)
    return result


def referenced_series(data: Dataset) -> Iterable[str]:
    """Yield the UIDs of the series that a structure set refers to.

    OHIF names them as segmentations do, outside of the frames of reference.
    """
    for series in data.get("ReferencedSeriesSequence", None) or ():
        yield str(series.SeriesInstanceUID)
    for frame in data.get("ReferencedFrameOfReferenceSequence", None) or ():
        for study in frame.get("RTReferencedStudySequence", None) or ():
            for series in study.get("RTReferencedSeriesSequence", None) or ():
                yield str(series.SeriesInstanceUID)


@dataclass(frozen=True)
class Region:
    """A region of interest.

    Args:
        name: As the file calls it; empty if it does not.
        interpreted: What the file takes it for (RT ROI Interpreted Type); empty if it does not say.
        contours: Its outlines; none if it was never drawn.
    """

    name: str
    interpreted: str
    contours: list[Dataset]


def regions(data: Dataset) -> dict[int, Region]:
    """Return the regions by their 1-based place: those with contours first, then those without."""
    named = {_number(r, "ROINumber"): r for r in data.get("StructureSetROISequence", None) or ()}
    observed = {
        _number(o, "ReferencedROINumber"): str(o.get("RTROIInterpretedType", "") or "")
        for o in data.get("RTROIObservationsSequence", None) or ()
    }
    drawn = [
        (_number(region, "ReferencedROINumber"), list(region.get("ContourSequence", None) or ()))
        for region in data.get("ROIContourSequence", None) or ()
    ]
    drawn += [(number, []) for number in named if number not in dict(drawn)]
    return {
        row: Region(
            str(named[number].get("ROIName", "") or "") if number in named else "",
            observed.get(number, ""),
            contours,
        )
        for row, (number, contours) in enumerate(drawn, start=1)
    }


def choose_regions(
    found: Mapping[int, Region], pattern: str | None, name: str
) -> tuple[set[int], list[str]]:
    """Choose the regions that are lesions; see `segment_names.choose`."""
    names = {row: region.name for row, region in found.items()}
    never = {row for row, region in found.items() if region.interpreted in NO_LESION}
    return choose(names, pattern, name, frozenset(never))


def _number(item: Dataset, keyword: str) -> str:
    return str(item.get(keyword, ""))


def region_mask(contours: list[Dataset], volume: Volume, name: str, row: int) -> np.ndarray:
    """Return the voxels `(Z, Y, X)` inside the contours of one region, those on a contour included.

    Contours lie on axial, coronal or sagittal planes of voxels.
    """
    inside = np.zeros(volume.array.shape, bool)
    border = np.zeros(volume.array.shape, bool)
    seen = set()
    for contour in contours:
        kind = str(contour.get("ContourGeometricType", ""))
        numbers = np.array(contour.get("ContourData", ()), dtype=float)
        if kind not in _PLANAR or numbers.size < 9 or numbers.size % 3:
            raise DataError(
                "Expected closed planar contours of 3 points at least but got others. Draw the"
                " outline, or measure both axes."
            )
        # From whichever point it starts, either way round.
        corners = np.unique(numbers.reshape(-1, 3).round(3), axis=0).tobytes()
        if corners in seen:
            raise DataError("Expected each contour once but got one twice. Export it again.")
        seen.add(corners)
        record = BookmarkRecord(
            volume.source_id, numbers.reshape(-1, 3), "LPS", file=name, row=row, shape="outline"
        )
        axis, place, points = _on_plane(axial_points(record, volume), volume)
        parts = [np.moveaxis(part, 2 - axis, 0)[place] for part in (inside, border)]
        size = parts[0].shape[::-1]
        within = fill(points, size, with_border=False)
        parts[0] ^= within
        parts[1] |= fill(points, size) & ~within
    mask = inside | border
    if not mask.any():
        raise DataError("Expected a region with contours but got an empty one. Remove it.")
    return mask


def _on_plane(points: np.ndarray, volume: Volume) -> tuple[int, int, np.ndarray]:
    """Return the axis across the plane of a contour, its index there, and its points on the plane.

    Args:
        points: `(N, 3)` axial indices (x, y, z).
        volume: Where they lie.

    Returns:
        The axis (2: axial), the index of the plane, and the points `(N, 2)`.
    """
    spread = np.round(np.ptp(points, axis=0), 2)
    axis = int(2 - np.argmin(spread[::-1]))
    place = round(float(points[:, axis].mean()))
    off = np.abs(points[:, axis] - place).max()
    if off > ON_PLANE or not 0 <= place < volume.array.shape[2 - axis]:
        raise DataError(
            f"Expected contours on the slices of {volume.source_id} (within {ON_PLANE:g} of a step)"
            f" but got one {off:.2g} off. Name the series that it was drawn on."
        )
    return axis, place, np.delete(points, axis, axis=1)
