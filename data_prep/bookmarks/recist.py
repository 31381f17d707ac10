"""RECIST bookmarks: two crossing segments, and how to measure them on a mask.

Points are `(x, y)` in pixels, 0-based; a pixel's coordinates are those of its centre. The pixel
with column 3 therefore spans x from 2.5 to 3.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class Bookmark:
    """A RECIST bookmark on one slice: longest diameter and longest diameter perpendicular to it.

    Args:
        long_axis: `(2, 2)`, the end points (x, y) of the longer diameter, pixels.
        short_axis: `(2, 2)`, the end points (x, y) of the shorter diameter, pixels.

    Raises:
        ValueError: if an axis is not `(2, 2)` or holds a value that is not finite.
    """

    long_axis: np.ndarray
    short_axis: np.ndarray

    def __post_init__(self) -> None:
        for name in ("long_axis", "short_axis"):
            axis = np.array(getattr(self, name), dtype=np.float64)
            if axis.shape != (2, 2):
                raise ValueError(f"Expected {name} of shape (2, 2) but got {axis.shape}.")
            if not all(map(math.isfinite, axis.ravel().tolist())):
                raise ValueError(f"Expected finite coordinates in {name} but got {axis.tolist()}.")
            axis.flags.writeable = False
            object.__setattr__(self, name, axis)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bookmark):
            return NotImplemented
        return np.array_equal(self.points(), other.points())

    def __hash__(self) -> int:
        return hash(self.points().tobytes())

    def points(self) -> np.ndarray:
        """Return the four end points, `(4, 2)`: long p1, long p2, short p1, short p2."""
        return np.concatenate((self.long_axis, self.short_axis))

    def box(self) -> tuple[float, float, float, float]:
        """Return the RECIST box: axis-aligned bounds (x1, y1, x2, y2) of the end points.

        Source: Sec. 3.1 of the paper. The bounds run through pixel centres; see `coco_box` for the
        area that they cover.
        """
        x, y = zip(*self.long_axis.tolist(), *self.short_axis.tolist(), strict=True)
        return min(x), min(y), max(x), max(y)

    def coco_box(self) -> tuple[float, float, float, float]:
        """Return the RECIST box as COCO's [x, y, width, height], comparable with the box of a mask.

        COCO's pixel *i* covers [i, i + 1), so bounds through pixel centres grow by one pixel: the
        box of a mask and the RECIST box of the same mask's extreme points are then the same.
        """
        x1, y1, x2, y2 = self.box()
        return (x1, y1, x2 - x1 + 1.0, y2 - y1 + 1.0)

    def long_length(self, spacing_xy: Sequence[float] = (1.0, 1.0)) -> float:
        """Return the longer axis' length; in mm if `spacing_xy` is the spacing (x, y) in mm."""
        return _length(self.long_axis, spacing_xy)

    def short_length(self, spacing_xy: Sequence[float] = (1.0, 1.0)) -> float:
        """Return the shorter axis' length; in mm if `spacing_xy` is the spacing (x, y) in mm."""
        return _length(self.short_axis, spacing_xy)


def _length(axis: np.ndarray, spacing_xy: Sequence[float]) -> float:
    (x1, y1), (x2, y2) = axis.tolist()
    return math.hypot((x2 - x1) * float(spacing_xy[0]), (y2 - y1) * float(spacing_xy[1]))


def measure(mask: np.ndarray, spacing_xy: Sequence[float] = (1.0, 1.0)) -> Bookmark:
    """Measure the RECIST bookmark of a mask.

    Definition. Let H be the convex hull of the centres of the mask's pixels. The long axis joins
    the two pixel centres that lie farthest apart (of several such pairs, the first in row-major
    order of the end points). The short axis is the longest chord of H perpendicular to the long
    axis (of several, the one nearest to the long axis' first end point); its end points lie between
    pixel centres. Since no point of H lies beyond the long axis' ends, the two axes always cross.
    All pixels count, also those of several components. Lengths run from centre to centre: a row
    of n pixels measures n - 1.

    Args:
        mask: `(H, W)`, anything that is not 0 is foreground.
        spacing_xy: pixel spacing (x, y). With unequal spacing, "longest" and "perpendicular" hold
            in mm; the end points are in pixels all the same.

    Returns:
        The bookmark, end points in pixels. A single pixel gives two axes of length 0, pixels in a
        straight line give a short axis of length 0.

    Raises:
        ValueError: if the mask is not 2D or is empty.

    Examples:
        >>> mask = np.zeros((9, 12), bool)
        >>> mask[4, 2:9] = mask[3:6, 5] = True
        >>> measured = measure(mask, (0.5, 0.5))
        >>> measured.points().tolist()
        [[2.0, 4.0], [8.0, 4.0], [5.0, 3.0], [5.0, 5.0]]
        >>> measured.long_length((0.5, 0.5)), measured.short_length((0.5, 0.5))
        (3.0, 1.0)
    """
    return measure_points(_outline(mask)[:, 0, :], spacing_xy)


def measure_points(points: np.ndarray, spacing_xy: Sequence[float] = (1.0, 1.0)) -> Bookmark:
    """Measure the RECIST bookmark of the convex hull of points; see `measure`.

    Args:
        points: `(N, 2)` (x, y) in pixels, at least one; need not be whole numbers.
        spacing_xy: pixel spacing (x, y).

    Raises:
        ValueError: if there is no point.
    """
    if not len(points):
        raise ValueError("Expected at least one point but got none.")
    hull = cv2.convexHull(np.asarray(points, np.float32))[:, 0, :].astype(np.float64)
    hull = hull[np.lexsort((hull[:, 0], hull[:, 1]))]  # row-major: ties resolve the same way always
    scale = np.asarray(spacing_xy, dtype=np.float64)
    points = hull * scale
    squared = sum(np.subtract.outer(column, column) ** 2 for column in points.T)
    # Equal lengths may differ in their last bit once they are scaled.
    first, second = divmod(int(np.argmax(squared >= squared.max() * (1 - 1e-12))), len(points))
    if first == second:  # one pixel
        return Bookmark(hull[[first, first]], hull[[first, first]])
    length = np.sqrt(squared[first, second])
    along = (points[second] - points[first]) / length
    across = np.array((-along[1], along[0]))
    position = np.clip((points - points[first]) @ along, 0.0, length)
    height = (points - points[first]) @ across
    at, low, high = _longest_chord(position, height, length)
    origin = points[first] + at * along
    chord = (origin + low * across, origin + high * across)
    return Bookmark(hull[[first, second]], np.stack(chord) / scale)


def _outline(mask: np.ndarray) -> np.ndarray:
    """Return the corners of the outlines of all components, `(N, 1, 2)` int32 (x, y)."""
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"Expected a mask of shape (H, W) but got {mask.shape}.")
    foreground = (mask != 0).view(np.uint8)
    contours, _ = cv2.findContours(foreground, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        raise ValueError("Expected a mask with at least one pixel but got an empty one.")
    return contours[0] if len(contours) == 1 else np.concatenate(contours)


def _longest_chord(
    position: np.ndarray, height: np.ndarray, length: float
) -> tuple[float, float, float]:
    """Return position, lowest and highest height of a hull's longest chord across its long axis.

    The chord's length is a concave, piecewise linear function of the position, so its maximum lies
    at a vertex: it is enough to evaluate both chains of the hull there.
    """
    order = np.argsort(position, kind="stable")
    position, height = position[order], height[order]
    low = np.interp(position, *_chain(position, height, length, upper=False))
    high = np.interp(position, *_chain(position, height, length, upper=True))
    width = high - low
    best = int(np.argmax(width >= width.max() - 1e-9))
    return float(position[best]), float(low[best]), float(high[best])


def _chain(
    position: np.ndarray, height: np.ndarray, length: float, upper: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the hull's vertices on one side of the long axis, its two end points included."""
    side = height > 0 if upper else height < 0
    return (
        np.concatenate(((0.0,), position[side], (length,))),
        np.concatenate(((0.0,), height[side], (0.0,))),
    )
