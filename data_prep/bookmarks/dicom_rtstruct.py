"""DICOM structure sets (RTSTRUCT): one lesion per region of interest, drawn on the volume's grid.

Contours of one slice are combined by exclusive or, so that a contour inside another is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from data_prep.bookmarks.dicom_objects import (
    STORAGE,
    checked,
    read_all,
    read_grid,
    volume_named,
)
from data_prep.bookmarks.label_masks import measure_labels
from data_prep.bookmarks.locate import axial_points, slice_of
from data_prep.bookmarks.one_axis import fill
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.errors import DataError
from data_prep.volumes.segment_names import choose
from data_prep.volumes.volume import Volume

OPTIONS = frozenset({"volume", "patient", "slices", "binary_masks", "segments"})
CLASSES = (f"{STORAGE}481.3",)
# Interpreted types that are no tissue to treat or spare. Some programs write ORGAN for everything.
NO_LESION = ("EXTERNAL", "MARKER", "ISOCENTER", "BOLUS", "SUPPORT", "FIXATION", "REGISTRATION")
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
    for row in sorted(chosen):
        contours = found[row].contours
        try:
            mask = region_mask(contours, volume, name, row)
        except DataError as error:
            result.refuse(DataError(error.message, path=name, row=row), volume_name)
            continue
        labels = replace(volume, array=mask.astype(np.uint16))
        measured = measure_labels(labels, volume_name, name, options)
        measured.records = [replace(record, row=row) for record in measured.records]
        result.add(measured)
    return result


def referenced_series(data: Dataset) -> Iterable[str]:
    """Yield the UIDs of the series that a structure set refers to."""
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
    """Return the voxels `(Z, Y, X)` inside the contours of one region."""
    depth, rows, columns = volume.array.shape
    mask = np.zeros((depth, rows, columns), bool)
    for contour in contours:
        kind = str(contour.get("ContourGeometricType", ""))
        numbers = np.array(contour.get("ContourData", ()), dtype=float)
        if kind not in _PLANAR or numbers.size < 9 or numbers.size % 3:
            raise DataError(
                "Expected closed planar contours of 3 points at least but got others. Draw the"
                " outline, or measure both axes."
            )
        record = BookmarkRecord(
            volume.source_id, numbers.reshape(-1, 3), "LPS", file=name, row=row, shape="outline"
        )
        points = axial_points(record, volume)
        mask[slice_of(record, points)] ^= fill(points[:, :2], (columns, rows))
    if not mask.any():
        raise DataError("Expected a region with contours but got an empty one. Remove it.")
    return mask
