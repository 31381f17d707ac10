"""Masks drawn from a bookmark alone: quadrilateral, ellipse and RECIST box.

A pixel belongs to a shape when its centre does, give or take half a pixel: the end points of a
measured bookmark are centres of *foreground* pixels, so the lesion reaches half a pixel beyond.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from data_prep.recist import Bookmark

_SUBPIXEL_BITS = 8


def quadrilateral_mask(bookmark: Bookmark, shape: Sequence[int]) -> np.ndarray:
    """The quadrilateral that joins adjacent end points (paper, Sec. 3.1), outline included.

    Args:
        bookmark: end points in pixels of the mask.
        shape: (H, W) of the mask.

    Returns:
        bool `(H, W)`; parts outside are cut off.
    """
    canvas = np.zeros(tuple(shape), np.uint8)
    draw_quadrilateral(canvas, bookmark.quadrilateral(), 1)
    return canvas.astype(bool)


def ellipse_mask(bookmark: Bookmark, shape: Sequence[int], scale: float = 1.0) -> np.ndarray:
    """The smooth oval through the four end points.

    The two axes cut the plane into four quarters around the point where they cross; in each, the
    outline is a quarter of the ellipse through that quarter's two end points. Axes that halve each
    other give a plain ellipse.

    Args:
        bookmark: end points in pixels of the mask.
        shape: (H, W) of the mask.
        scale: enlarges the oval about the crossing point.

    Returns:
        bool `(H, W)`; parts outside are cut off.
    """
    canvas = np.zeros(tuple(shape), bool)
    # 1.5 px: half a pixel of margin, and rounding.
    centre = crossing(bookmark)
    low = np.floor(centre + scale * 2 * (bookmark.points().min(axis=0) - centre) - 1.5).astype(int)
    high = np.ceil(centre + scale * 2 * (bookmark.points().max(axis=0) - centre) + 1.5).astype(int)
    x1, y1 = np.maximum(low, 0)
    x2, y2 = np.minimum(high + 1, np.array(shape)[::-1])
    if x1 < x2 and y1 < y2:
        radius = ellipse_radius(bookmark, (y2 - y1, x2 - x1), offset=(x1, y1))
        canvas[y1:y2, x1:x2] = radius <= scale
    return canvas


def recist_box_mask(bookmark: Bookmark, shape: Sequence[int]) -> np.ndarray:
    """The RECIST box filled: all pixels whose centre lies in it, give or take half a pixel.

    Args:
        bookmark: end points in pixels of the mask.
        shape: (H, W) of the mask.

    Returns:
        bool `(H, W)`; parts outside are cut off.
    """
    canvas = np.zeros(tuple(shape), bool)
    x1, y1, x2, y2 = (int(np.floor(value + 0.5)) for value in bookmark.box())
    canvas[max(y1, 0) : max(y2 + 1, 0), max(x1, 0) : max(x2 + 1, 0)] = True
    return canvas


def crossing(bookmark: Bookmark) -> np.ndarray:
    """Where the axes' lines cross, (x, y), kept on the long axis; its midpoint if parallel."""
    start, along = bookmark.long_axis[0], np.diff(bookmark.long_axis, axis=0)[0]
    across = np.diff(bookmark.short_axis, axis=0)[0]
    determinant = along[0] * across[1] - along[1] * across[0]
    if abs(determinant) < 1e-9 * max(1.0, along @ along):
        return bookmark.long_axis.mean(axis=0)
    to_short = bookmark.short_axis[0] - start
    fraction = (to_short[0] * across[1] - to_short[1] * across[0]) / determinant
    return start + np.clip(fraction, 0.0, 1.0) * along


def ellipse_radius(
    bookmark: Bookmark, shape: Sequence[int], offset: Sequence[float] = (0.0, 0.0)
) -> np.ndarray:
    """Distance from the crossing point in units of the oval's: at most 1 inside, above 1 outside.

    Args:
        bookmark: end points in pixels of the whole image.
        shape: (H, W) of the part of the image to cover.
        offset: (x, y) of that part's first pixel in the image.

    Returns:
        float32 `(H, W)`.
    """
    centre = crossing(bookmark)
    along = np.diff(bookmark.long_axis, axis=0)[0]
    length = np.hypot(*along)
    along = along / length if length else np.array((1.0, 0.0))
    across = np.array((-along[1], along[0]))
    x = np.arange(shape[1], dtype=np.float32) + np.float32(offset[0] - centre[0])
    y = (np.arange(shape[0], dtype=np.float32) + np.float32(offset[1] - centre[1]))[:, None]
    ends = (
        np.sort((bookmark.long_axis - centre) @ along),
        np.sort((bookmark.short_axis - centre) @ across),
    )
    squared = np.zeros(tuple(shape), np.float32)
    for direction, (low, high) in zip((along, across), ends, strict=True):
        distance = x * np.float32(direction[0]) + y * np.float32(direction[1])
        below = np.float32(max(-low, 0.0) + 0.5)
        above = np.float32(max(high, 0.0) + 0.5)
        squared += (distance / np.where(distance < 0, below, above)) ** 2
    return np.sqrt(squared)


def draw_quadrilateral(canvas: np.ndarray, ring: np.ndarray, value: int) -> None:
    """Fill a quadrilateral `(4, 2)` (x, y) into a uint8 canvas, in place, outline included."""
    cv2.fillPoly(canvas, [_fixed_point(ring)], value, cv2.LINE_8, _SUBPIXEL_BITS)


def draw_segments(canvas: np.ndarray, bookmark: Bookmark, value: int) -> None:
    """Draw both axes of a bookmark into a uint8 canvas, in place, one pixel wide."""
    for axis in (bookmark.long_axis, bookmark.short_axis):
        start, end = (tuple(point.tolist()) for point in _fixed_point(axis))
        cv2.line(canvas, start, end, value, 1, cv2.LINE_8, _SUBPIXEL_BITS)


def _fixed_point(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
