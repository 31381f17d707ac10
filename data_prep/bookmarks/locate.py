"""From a bookmark as written to a bookmark on an axial slice of its volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_prep.bookmarks.crossing_lines import segment_distance
from data_prep.bookmarks.formats.reported_lengths import points_as_drawn
from data_prep.bookmarks.one_axis import as_bookmark
from data_prep.bookmarks.recist import Bookmark
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError, told_apart
from data_prep.volumes.volume import Volume

MAX_ANGLE_ERROR_DEG = 15.0
# Axes of small lesions in whole pixels may miss each other by rounding alone.
MAX_GAP_PX = 1.0
MIN_LENGTH_PX = 1e-3


@dataclass(frozen=True, eq=False)
class PlacedBookmark:
    """A bookmark on an axial slice.

    Args:
        slice_index: 0-based slice of the axial volume.
        bookmark: End points in 0-based axial pixels (x, y).
        record: Where it came from.
    """

    slice_index: int
    bookmark: Bookmark
    record: BookmarkRecord


def place(record: BookmarkRecord, volume: Volume) -> PlacedBookmark:
    """Place a record in its volume and check that it is a bookmark.

    Raises:
        DataError: No such slice, points outside the image or not on one axial slice, an axis of
            length zero, short axis longer than the long one, axes more than 15° from
            perpendicular, or axes that do not cross.
    """
    points = axial_points(record, volume)
    slice_index = slice_of(record, points)
    spacing_xy = volume.spacing_mm[:2]
    if record.shape == "cross":
        bookmark = Bookmark(long_axis=points[:2, :2], short_axis=points[2:, :2])
    else:
        bookmark = _of_outline(record, points[:, :2], volume)
    _check_shape(record, bookmark, spacing_xy)
    return PlacedBookmark(slice_index, bookmark, record)


def axial_points(record: BookmarkRecord, volume: Volume) -> np.ndarray:
    """Return the points of a record as axial indices `(N, 3)` (x, y, z).

    Raises:
        DataError: No such slice, points outside the volume, or other lengths than reported.
    """
    if not np.isfinite(record.points).all():
        raise _error(record, "Expected finite coordinates but got NaN or infinity. Correct them.")
    _check_grid(record, volume)
    if record.lengths_mm or record.may_swap_spacing:
        record = replace(record, points=points_as_drawn(record, volume.grid))
    if record.frame == "pixel":
        stored_slice = _stored_slice(record, volume)
        _check_inside(record, volume, stored_slice)
        return volume.from_stored(record.points, stored_slice)
    if record.frame_uid and volume.frame_uid and record.frame_uid != volume.frame_uid:
        raise _error(
            record,
            f"Expected points in the frame of reference of {volume.source_id} but got those of"
            " another, in which mm count otherwise. Name the series that they were drawn on.",
        )
    flip = np.array([-1.0, -1.0, 1.0]) if record.frame == "RAS" else np.ones(3)
    points = volume.from_patient_mm(record.points * flip)
    _check_inside_axial(record, volume, points)
    return points


def _check_grid(record: BookmarkRecord, volume: Volume) -> None:
    """Refuse a label of a mask that lies on another grid than the volume, as `read_labels` does."""
    difference = None if record.grid is None else record.grid.difference_from(volume.grid)
    if difference:
        raise _error(
            record,
            f"Expected a mask on the grid of {volume.source_id} with {difference}."
            f" {record.grid.advice_for(volume.grid)}",
        )


def slice_of(record: BookmarkRecord, points: np.ndarray) -> int:
    """Return the axial slice that points `(N, 3)` lie on.

    Raises:
        DataError: They lie on several.
    """
    heights = points[:, 2].tolist()
    mean = sum(heights) / len(heights)
    if max(abs(height - mean) for height in heights) > 0.5:
        low, high = math.floor(min(heights) + 0.5), math.floor(max(heights) + 0.5)
        if low == high:
            low, high = (f"{height:.2f}" for height in (min(heights), max(heights)))
        count = "four" if record.shape == "cross" else str(len(points))
        raise _error(
            record,
            f"Expected {count} points on one axial slice but got points on axial slices {low} to "
            f"{high}. Draw the bookmark on an axial slice.",
        )
    return math.floor(mean + 0.5)


def _of_outline(record: BookmarkRecord, points: np.ndarray, volume: Volume) -> Bookmark:
    """Return the axes of a measurement without two axes, which must lie inside the image."""
    _, rows, columns = volume.array.shape
    try:
        bookmark = as_bookmark(record.shape, points, volume.spacing_mm[:2], (columns, rows))
    except ValueError:
        raise _error(
            record, "Expected an outline of a pixel at least but got none. Draw it again."
        ) from None
    ends = bookmark.points()
    if (ends < -0.5).any() or (ends > [columns - 0.5, rows - 0.5]).any():
        raise _error(
            record,
            f"Expected {record.drawn} that makes a circle inside the image but got one that leaves"
            " it. Measure both axes, or use --one-axis ignore.",
        )
    return bookmark


def _error(record: BookmarkRecord, message: str) -> DataError:
    return DataError(
        message, path=record.file or None, row=record.row, slice_index=record.slice_index
    )


def _stored_slice(record: BookmarkRecord, volume: Volume) -> int:
    """Return the 0-based stored slice of a record in pixels, however the file names it."""
    index = record.slice_index
    if index is None and record.slice_number is not None:
        if record.slice_number in volume.slice_numbers:
            return volume.slice_numbers.index(record.slice_number)
        if not volume.slice_numbers:
            raise _error(
                record,
                f"Expected a slice of {volume.source_id} with the number {record.slice_number} but"
                " got a volume without slice numbers. Name the slice by its index in the column"
                " slice.",
            )
        raise _error(
            record,
            f"Expected a slice of {volume.source_id} but got its number {record.slice_number}, "
            "which is not there. Add the slice or correct the number.",
        )
    if index is None and record.instance_uid is not None:
        for uid in (record.instance_uid, f"{record.instance_uid}#{record.frame_number or 1}"):
            if uid in volume.slice_uids:
                return volume.slice_uids.index(uid)
        raise _error(
            record,
            f"Expected an image of {volume.source_id} but got a reference to another one. Name "
            "the series that the report was drawn on.",
        )
    last = volume.stored_size[2] - 1
    if index is None or not 0 <= index <= last:
        raise _error(
            record,
            f"Expected a slice from 0 to {last} of {volume.source_id} (0 is the end at the"
            f" {volume.first_slice_end}) but got {index}. Correct the slice (0-based).",
        )
    return index


def _check_inside(record: BookmarkRecord, volume: Volume, stored_slice: int) -> None:
    columns, rows, _ = volume.stored_size
    points = record.points
    outside = (points < -0.5).any(axis=1) | (points > [columns - 0.5, rows - 0.5]).any(axis=1)
    if not outside.any():
        return
    x, y = points[np.argmax(outside)]
    fits_shifted = min(x, y) >= 0.5 and x < columns + 0.5 and y < rows + 0.5
    one_based = ", or read the file with --one-based" if fits_shifted else ""
    raise _error(
        record,
        f"Expected points inside {columns} x {rows} pixels (-0.5 to {columns - 0.5} and "
        f"{rows - 0.5}) but got ({x:.12g}, {y:.12g}). Correct the coordinates (0-based pixels)"
        f"{one_based}.",
    )


def _check_inside_axial(record: BookmarkRecord, volume: Volume, points: np.ndarray) -> None:
    size = np.array(volume.array.shape[::-1])
    outside = ((points < -0.5) | (points > size - 0.5)).any(axis=1)
    if not outside.any():
        return
    where = ", ".join(f"{c:g}" for c in record.points[np.argmax(outside)])
    raise _error(
        record,
        f"Expected points inside the volume but got ({where}) mm in {record.frame}, which lies "
        "outside. Correct the coordinates or the frame.",
    )


def _check_shape(
    record: BookmarkRecord, bookmark: Bookmark, spacing_xy: tuple[float, float]
) -> None:
    if fault := shape_fault(bookmark, spacing_xy):
        raise _error(record, fault)


def shape_fault(bookmark: Bookmark, spacing_xy: Sequence[float]) -> str | None:
    """Say what is wrong with two axes as a RECIST measurement, and what to do; None if nothing.

    Args:
        bookmark: End points in pixels.
        spacing_xy: Pixel spacing (x, y) in mm.
    """
    long_length, short_length = (
        length(spacing_xy) for length in (bookmark.long_length, bookmark.short_length)
    )
    for name, length in (("long", bookmark.long_length()), ("short", bookmark.short_length())):
        if length < MIN_LENGTH_PX:
            return f"Expected a {name} axis with a length but got two equal points. Draw it again."
    if short_length > long_length * (1 + 1e-3):
        long, short = told_apart(long_length, short_length)
        return (
            f"Expected a short axis no longer than the long one ({long} mm) but got {short} mm. "
            "Swap the two axes."
        )
    across = [
        (long[1] - long[0]) * (short[1] - short[0]) * mm * mm
        for long, short, mm in zip(
            bookmark.long_axis.T.tolist(), bookmark.short_axis.T.tolist(), spacing_xy, strict=True
        )
    ]
    sine = min(1.0, abs(sum(across)) / (long_length * short_length))
    off = math.degrees(math.asin(sine))
    if off > MAX_ANGLE_ERROR_DEG:
        angle, _ = told_apart(90 - off, 90 - MAX_ANGLE_ERROR_DEG)
        return (
            f"Expected perpendicular axes (within {MAX_ANGLE_ERROR_DEG:g} degrees) but got "
            f"{angle} degrees between them. Draw the short axis again."
        )
    gap = segment_distance(*bookmark.points())
    if gap > MAX_GAP_PX:
        return (
            f"Expected axes that cross (within {MAX_GAP_PX:g} pixel) but got axes "
            f"{told_apart(gap, MAX_GAP_PX)[0]} pixels apart. Draw them again."
        )
    return None
