"""The order of DICOM slices along the body, and whether they make a gapless, upright grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.errors import DataError
from data_prep.volumes.geometry import Grid

# Scanners round positions: steps may differ by this share of the slice distance (or 0.02 mm).
STEP_TOLERANCE = 0.05
# A shift between slices that is not along their normal: a tilted CT gantry.
MAX_TILT_DEG = 0.5
# How far a slice may lie aside of the others, in pixels (or 0.05 mm).
ASIDE_PX = 0.1


@dataclass(frozen=True)
class SliceInfo:
    """Geometry of one slice, from a single-frame file or from one frame.

    Args:
        rows: Rows of the image.
        columns: Columns of the image.
        position: Centre of the first pixel in mm, LPS.
        orientation: Six cosines: direction of a row, then of a column.
        pixel_spacing: Distance of rows, then of columns, in mm (DICOM's order).
        thickness: Slice distance or thickness as stated in mm, None if it is not.
        label: How messages call it, e.g. the file name.
        source: Index of the file.
        frame: 0-based frame in the file.
        uid: SOP instance UID, with `#` and the 1-based frame for frames of one file.
    """

    rows: int
    columns: int
    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, float]
    thickness: float | None
    label: str
    source: int
    frame: int
    uid: str


def order_slices(
    slices: Sequence[SliceInfo], name: str, *, keep_order: bool = False
) -> tuple[list[SliceInfo], Grid]:
    """Sort slices along their normal and build the grid that they fill.

    Args:
        slices: Slices in any order.
        name: How messages call the volume.
        keep_order: Keep the given order if it runs evenly along the normal, either way (frames
            of one file are numbered, so their order is the stored one).

    Raises:
        DataError: Mixed sizes, spacings or orientations; two slices at one position; a gap;
            uneven steps; a tilted gantry; a slice aside of the others.
    """
    first = slices[0]
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(row, column)
    _check_alike(slices, name)
    heights = np.array([np.dot(s.position, normal) for s in slices])
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights)
    if keep_order and len(slices) > 1 and (steps < 0).all():
        order = np.arange(len(slices))
    ordered = [slices[i] for i in order]
    distance, direction = _step(ordered, normal, heights[order], name)
    grid = Grid(
        (first.columns, first.rows, len(slices)),
        (first.pixel_spacing[1], first.pixel_spacing[0], distance),
        ordered[0].position,
        tuple(float(v) for v in np.column_stack([row, column, direction]).ravel()),
    )
    grid.check(name)
    return ordered, grid


def _check_alike(slices: Sequence[SliceInfo], name: str) -> None:
    first = slices[0]
    for s in slices:
        if (s.rows, s.columns) != (first.rows, first.columns):
            raise DataError(
                f"Expected slices of one size but got {first.columns} x {first.rows} and "
                f"{s.columns} x {s.rows} ({s.label}). Separate the series.",
                path=name,
            )
        if not np.allclose(s.orientation, first.orientation, atol=1e-3):
            raise DataError(
                f"Expected one orientation but got another in {s.label} (mixed orientations). "
                "Separate the series, e.g. take the localizer out.",
                path=name,
            )
        if not np.allclose(s.pixel_spacing, first.pixel_spacing, rtol=1e-3):
            one, other = ("{:g} x {:g}".format(*i.pixel_spacing) for i in (first, s))
            raise DataError(
                f"Expected one pixel spacing but got {one} and {other} mm ({s.label}). Separate "
                "the series.",
                path=name,
            )


def _step(
    ordered: Sequence[SliceInfo], normal: np.ndarray, heights: np.ndarray, name: str
) -> tuple[float, np.ndarray]:
    """Return the distance of the slices in mm and the unit vector from one to the next."""
    if len(ordered) == 1:
        return ordered[0].thickness or 1.0, normal
    steps = np.abs(np.diff(heights))
    _check_repeats(ordered, steps, name)
    whole = np.subtract(ordered[-1].position, ordered[0].position)
    along = float(np.dot(whole, normal))
    aside = float(np.linalg.norm(whole - along * normal))
    tilt = math.degrees(math.atan2(aside, abs(along)))
    if tilt > MAX_TILT_DEG:
        raise DataError(
            f"Expected slices stacked along their normal but got a gantry tilt of {tilt:.1f} "
            "degrees. Resample the series to an upright grid.",
            path=name,
        )
    _check_line(ordered, heights, whole, name)
    usual = float(np.median(steps))
    uneven = np.abs(steps - usual) > max(STEP_TOLERANCE * usual, 0.02)
    if uneven.any():
        at = int(np.argmax(uneven))
        missing = round(float(steps[at]) / usual) - 1
        between = f"between {ordered[at].label} and {ordered[at + 1].label}"
        if missing >= 1 and abs(steps[at] - (missing + 1) * usual) <= 0.1 * usual:
            raise DataError(
                f"Expected a slice every {usual:g} mm but got a gap of {steps[at]:g} mm {between} "
                f"({missing} missing). Export the series again.",
                path=name,
                slice_index=at,
            )
        raise DataError(
            f"Expected a slice every {usual:g} mm but got a step of {steps[at]:g} mm {between}. "
            "Resample the series to even steps.",
            path=name,
            slice_index=at,
        )
    return abs(along) / (len(ordered) - 1), normal * (1.0 if along > 0 else -1.0)


def _check_line(
    ordered: Sequence[SliceInfo], heights: np.ndarray, whole: np.ndarray, name: str
) -> None:
    """Raise DataError if a slice lies aside of the line through the first and the last."""
    positions = np.array([s.position for s in ordered])
    share = (heights - heights[0]) / (heights[-1] - heights[0])
    aside = np.linalg.norm(positions - positions[0] - share[:, None] * whole, axis=1)
    at = int(np.argmax(aside))
    if aside[at] > max(ASIDE_PX * min(ordered[0].pixel_spacing), 0.05):
        raise DataError(
            f"Expected slices stacked in a line but got {ordered[at].label} {aside[at]:.2g} mm"
            " aside. Resample the series to an upright grid.",
            path=name,
            slice_index=at,
        )


def _check_repeats(ordered: Sequence[SliceInfo], steps: np.ndarray, name: str) -> None:
    """Tell one duplicate slice from a series that holds several images of every position."""
    same = steps < 1e-3
    if not same.any():
        return
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    counts = np.diff(np.append(starts, len(ordered)))
    if counts.min() > 1 and counts.min() == counts.max():
        advice = "Put each into a folder of its own."
        if len({s.source for s in ordered}) == 1:
            advice = "Split the file into one for each, e.g. with dcm2niix."
        raise DataError(
            f"Expected one image per position but got {counts[0]} at each of {len(counts)} (4D: "
            f"times, echoes or b-values). {advice}",
            path=name,
        )
    at = int(np.argmax(same))
    raise DataError(
        f"Expected one image per position but got a duplicate: {ordered[at].label} and "
        f"{ordered[at + 1].label}. Remove one.",
        path=name,
        slice_index=int(np.count_nonzero(~same[:at])),
    )
