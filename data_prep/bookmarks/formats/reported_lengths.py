"""The lengths that a report gives for its axes, against the points that it draws them through.

Cornerstone, the library of OHIF, divides columns by the row spacing and rows by the column spacing
when it writes pixels (cornerstone3D#2758, still so in 5.14): on oblong pixels its points lie
elsewhere than its user drew them. The lengths tell whether that was so. Elsewhere the points count,
and other lengths are noted.
"""

from __future__ import annotations

import numpy as np

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError, told_apart
from data_prep.volumes.geometry import Grid

# Programs round lengths to whole millimetres, and measure between other points of a thick line.
TOLERANCE_MM = 1.0
TOLERANCE_SHARE = 0.05
# Cornerstone writes lengths with all digits.
EXACT_MM = 0.05
OBLONG = 1e-3


def points_as_drawn(record: BookmarkRecord, grid: Grid) -> np.ndarray:
    """Return the points of a record, where its user drew them.

    Args:
        record: Of a report.
        grid: Stored grid of its volume.

    Raises:
        DataError: The spacings may be swapped, and the lengths do not tell whether they are.
    """
    size = np.asarray(grid.spacing[:2], dtype=float)
    swapped = record.points * (size[::-1] / size) if record.frame == "pixel" else record.points
    if not record.may_swap_spacing or abs(size[0] / size[1] - 1) < OBLONG:
        return record.points
    if not record.lengths_mm:
        raise DataError(
            f"Expected square pixels but got {size[0]:g} x {size[1]:g} mm, of which the viewer that"
            " wrote the report swaps the sizes, and no lengths that tell. Measure both axes.",
            path=record.file or None,
            row=record.row,
        )
    off = [
        np.abs(_lengths(points, record, size) - record.lengths_mm).max()
        for points in (record.points, swapped)
    ]
    if min(off) > EXACT_MM:
        _fail(record, _lengths(record.points, record, size), size)
    return record.points if off[0] < off[1] else swapped


def length_note(record: BookmarkRecord, grid: Grid) -> str | None:
    """Compare the points of a record with the lengths that its report gives.

    Args:
        record: Of any file.
        grid: Stored grid of its volume.

    Returns:
        A note if they differ; None if not, or where a file gives no lengths.
    """
    size = np.asarray(grid.spacing[:2], dtype=float)
    if not record.lengths_mm or (record.may_swap_spacing and abs(size[0] / size[1] - 1) >= OBLONG):
        return None
    found, reported = _lengths(record.points, record, size), np.asarray(record.lengths_mm)
    if (np.abs(found - reported) <= TOLERANCE_MM + TOLERANCE_SHARE * reported).all():
        return None
    return f"{record.file}, row {record.row}: {_difference(record, found, size)} The points count."


def _lengths(points: np.ndarray, record: BookmarkRecord, size: np.ndarray) -> np.ndarray:
    """Return the length of each axis in mm."""
    ends = points.reshape(-1, 2, points.shape[1])
    steps = ends[:, 1] - ends[:, 0]
    return np.linalg.norm(steps * size if record.frame == "pixel" else steps, axis=1)


def _difference(record: BookmarkRecord, found: np.ndarray, size: np.ndarray) -> str:
    at = int(np.argmax(np.abs(found - record.lengths_mm)))
    reported, drawn = told_apart(record.lengths_mm[at], found[at])
    return (
        f"Expected an axis of {reported} mm, as the report says, but got points {drawn} mm apart on"
        f" pixels of {size[0]:g} x {size[1]:g} mm."
    )


def _fail(record: BookmarkRecord, found: np.ndarray, size: np.ndarray) -> None:
    raise DataError(
        f"{_difference(record, found, size)} Measure it again on the series of the volume.",
        path=record.file or None,
        row=record.row,
    )
