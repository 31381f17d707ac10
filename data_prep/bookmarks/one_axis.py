"""Measurements without two axes: a length, an outline, a point. Each of them may be a lesion.

None of them is dropped in silence. By the rule `refuse` each is an error; by `ignore` it becomes a
region that counts neither as lesion nor as background; by `circle` it is measured as if its outline
were the lesion's, a length as the diameter of a circle.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from data_prep.bookmarks.recist import Bookmark, measure
from data_prep.bookmarks.record import ReadResult
from data_prep.errors import DataError

RULES = ("refuse", "ignore", "circle")
# What the points of each shape are.
SHAPES = {
    "line": "2 end points",
    "circle": "the centre, and a point of the rim",
    "ellipse": "the ends of one axis, then of the other",
    "outline": "3 or more corners",
    "points": "1 or more places without an extent",
    "solid": "4 or more corners of a body on several slices",
}
# No circle can be made of these.
NO_CIRCLE = ("points", "solid")
# A place without an extent stands for a circle of this radius: nodes are rarely larger.
POINT_RADIUS_MM = 10.0
_CORNERS = 64
# Files round coordinates, e.g. to 0.01 mm: centres that near to a border are on it.
ON_BORDER_PX = 0.05


def apply(result: ReadResult, rule: str, name: str) -> None:
    """Sort the measurements without two axes among the records by a rule, and count them.

    Args:
        result: As read; changed in place.
        rule: One of `RULES`.
        name: How messages call the file or folder.
    """
    if rule not in RULES:
        raise DataError(f"Expected --one-axis {', '.join(RULES)} but got another. Correct it.")
    others = [record for record in result.records if record.shape != "cross"]
    if not others:
        return
    kept = [record for record in result.records if record.shape == "cross"]
    refused = others if rule == "refuse" else []
    if rule == "ignore":
        result.ignored += others
        # How far a place without an extent reaches is not known.
        result.incomplete_volumes |= {r.volume for r in others if r.shape == "points"}
    elif rule == "circle":
        refused = [record for record in others if record.shape in NO_CIRCLE]
        kept = [record for record in result.records if record.shape not in NO_CIRCLE]
    result.records = kept
    for record in refused:
        advice = "ignore or circle" if record.shape not in NO_CIRCLE else "ignore"
        message = (
            f"Expected a long and a short axis but got {record.drawn} only. Measure both axes,"
            f" or read it with --one-axis {advice}."
        )
        where = {"path": record.file, "row": record.row, "slice_index": record.slice_index}
        result.refuse(DataError(message, **where), record.volume)
    done = {"refuse": "refused", "ignore": "to be ignored", "circle": "taken as outlines"}
    counts = Counter(record.drawn for record in others)
    shown = ", ".join(f"{drawn} {n}" for drawn, n in sorted(counts.items()))
    left = f" ({len(refused)} refused)" if rule == "circle" and refused else ""
    result.notes.append(
        f"{name}: measurements without two axes are {done[rule]}{left}: {shown}"
        f" (--one-axis {rule})."
    )


def as_bookmark(
    shape: str, points: np.ndarray, spacing_xy: Sequence[float], size_xy: tuple[int, int]
) -> Bookmark:
    """Return the axes of a shape on its slice; a line is the diameter of a circle.

    Args:
        shape: Of `SHAPES`, none of `NO_CIRCLE`.
        points: `(N, 2)` axial pixels (x, y).
        spacing_xy: Pixel size in mm.
        size_xy: Columns and rows of the slice.

    >>> import numpy as np
    >>> axes = as_bookmark("line", np.array([[2.0, 5.0], [8.0, 5.0]]), (1.0, 0.5), (20, 20))
    >>> axes.short_axis.tolist()
    [[5.0, 11.0], [5.0, -1.0]]
    """
    if shape == "outline":
        return measure(fill(points, size_xy), spacing_xy)
    scale = np.asarray(spacing_xy, dtype=float)
    mm = np.asarray(points, dtype=float) * scale
    if shape == "ellipse":
        axes = sorted((mm[:2], mm[2:]), key=lambda axis: -np.linalg.norm(axis[1] - axis[0]))
        return Bookmark(axes[0] / scale, axes[1] / scale)
    centre, arm = (mm[0] + mm[1]) / 2, (mm[1] - mm[0]) / 2
    if shape == "circle":
        centre, arm = mm[0], mm[1] - mm[0]
    across = np.array([arm[1], -arm[0]])
    ends = (np.stack([centre - v, centre + v]) / scale for v in (arm, across))
    return Bookmark(*ends)


def region(
    shape: str, points: np.ndarray, spacing_xy: Sequence[float], size_xy: tuple[int, int]
) -> np.ndarray:
    """Return the pixels `(H, W)` that a shape covers on its slice, one at least.

    Args:
        shape: Of `SHAPES`.
        points: `(N, 2)` axial pixels (x, y).
        spacing_xy: Pixel size in mm.
        size_xy: Columns and rows of the slice.
    """
    points = np.asarray(points, dtype=float)
    if shape == "points":
        arms = np.eye(2) * POINT_RADIUS_MM / np.asarray(spacing_xy, dtype=float)
        discs = [fill(_ring(point, *arms), size_xy) for point in points]
        return np.logical_or.reduce(discs)
    if shape in ("outline", "solid"):
        corners = points
        if shape == "solid":
            corners = cv2.convexHull(points.astype(np.float32))[:, 0]
        return fill(corners, size_xy)
    axes = as_bookmark(shape, points, spacing_xy, size_xy)
    long, short = ((axis[1] - axis[0]) / 2 for axis in (axes.long_axis, axes.short_axis))
    return fill(_ring(axes.long_axis.mean(axis=0), long, short), size_xy)


def _ring(centre: np.ndarray, one_arm: np.ndarray, other_arm: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    return centre + np.cos(angle) * one_arm + np.sin(angle) * other_arm


def fill(corners: np.ndarray, size_xy: tuple[int, int], *, with_border: bool = True) -> np.ndarray:
    """Return the pixels `(H, W)` whose centres lie inside a polygon or on its border.

    A polygon between pixel centres covers the nearest pixel, unless that lies outside of the image.
    OpenCV's filling takes every pixel that the border touches, up to half a pixel too much.

    Args:
        corners: `(N, 2)` pixels (x, y).
        size_xy: Columns and rows of the slice.
        with_border: False: only pixels whose centres lie inside, which may be none.

    >>> fill(np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 1.5], [0.5, 1.5]]), (4, 2)).astype(int)
    array([[0, 0, 0, 0],
           [0, 1, 1, 0]])
    """
    columns, rows = size_xy
    mask = np.zeros((rows, columns), bool)
    start = np.clip(corners, -1e6, 1e6)
    end = np.roll(start, -1, axis=0)
    reach = ON_BORDER_PX if with_border else -ON_BORDER_PX
    first, last = start[:, 1].min() - ON_BORDER_PX, start[:, 1].max() + ON_BORDER_PX
    for y in range(max(0, math.ceil(first)), min(rows - 1, math.floor(last)) + 1):
        above, below = (
            _between(start, end, y + step, reach, columns) for step in (-ON_BORDER_PX, ON_BORDER_PX)
        )
        mask[y] = above | below if with_border else above & below
    if with_border and not mask.any():
        x, y = np.round(start.mean(axis=0)).astype(int).tolist()
        if 0 <= x < columns and 0 <= y < rows:
            mask[y, x] = True
    return mask


def _between(
    start: np.ndarray, end: np.ndarray, level: float, reach: float, columns: int
) -> np.ndarray:
    """Return the pixels of a row between the edges of a polygon at a height, by even and odd."""
    crosses = (start[:, 1] <= level) != (end[:, 1] <= level)
    (x1, y1), (x2, y2) = start[crosses].T, end[crosses].T
    found = np.sort(x1 + (level - y1) * (x2 - x1) / (y2 - y1))
    left = np.ceil(found[::2] - reach).clip(0, columns).astype(int)
    right = np.floor(found[1::2] + reach).clip(-1, columns - 1).astype(int)
    row = np.zeros(columns, bool)
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        row[a : b + 1] = True
    return row
