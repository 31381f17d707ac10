"""DICOM structure sets (RTSTRUCT): one lesion per region of interest, drawn on the volume's grid.

Contours of one slice are combined by exclusive or, so that a contour inside another is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
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
from data_prep.volumes.volume import Volume

OPTIONS = frozenset({"volume", "patient", "slices", "binary_masks"})
CLASSES = (f"{STORAGE}481.3",)
_PLANAR = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Measure structure sets; `row` of a record is the 1-based number of its region."""
    return read_all(path, name, "a structure set", lambda f, label: _read_one(f, label, options))


def _read_one(path: Path, name: str, options: Options) -> ReadResult:
    data = checked(path, name, CLASSES, "a structure set")
    volume_name = volume_named(options, set(referenced_series(data)))
    volume = read_grid(options, volume_name)
    result = ReadResult()
    for row, contours in enumerate(regions(data), start=1):
        try:
            mask = region_mask(contours, volume, name, row)
        except DataError as error:
            result.refuse(DataError(error.message, path=name, row=row), volume_name)
            continue
        labels = replace(volume, array=mask.astype(np.uint16))
        found = measure_labels(labels, volume_name, name, options)
        found.records = [replace(record, row=row) for record in found.records]
        result.add(found)
    return result


def referenced_series(data: Dataset) -> Iterable[str]:
    """Yield the UIDs of the series that a structure set refers to."""
    for frame in data.get("ReferencedFrameOfReferenceSequence", None) or ():
        for study in frame.get("RTReferencedStudySequence", None) or ():
            for series in study.get("RTReferencedSeriesSequence", None) or ():
                yield str(series.SeriesInstanceUID)


def regions(data: Dataset) -> list[list[Dataset]]:
    """Return the contours of each region."""
    drawn = data.get("ROIContourSequence", None) or ()
    return [list(region.get("ContourSequence", None) or ()) for region in drawn]


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
