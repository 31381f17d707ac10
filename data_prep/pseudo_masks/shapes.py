"""Masks drawn from a bookmark alone: quadrilateral, ellipse and RECIST box.

A pixel belongs to a shape when its centre does, give or take half a pixel: the end points of a
measured bookmark are centres of *foreground* pixels, so the lesion reaches half a pixel beyond.
A shape too small to hold any centre is the pixel in which the axes cross.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.bookmarks.recist import Bookmark

_SUBPIXEL_BITS = 8
# Sine of the least angle between axes whose directions both count.
LEAST_SINE = 0.2


def quadrilateral_mask(bookmark: Bookmark, shape: Sequence[int]) -> np.ndarray:
    """Draw the quadrilateral that joins adjacent end points (paper, Sec. 3.1).

    Args:
        bookmark: end points in pixels of the mask.
        shape: (H, W) of the mask.

    Returns:
        bool `(H, W)`; parts outside are cut off.
    """
    return _mask(bookmark, shape, Frame.diamond)


def ellipse_mask(bookmark: Bookmark, shape: Sequence[int]) -> np.ndarray:
    """Draw the ellipse through the four end points: four quarter ellipses, see `Frame`.

    Args:
        bookmark: end points in pixels of the mask.
        shape: (H, W) of the mask.

    Returns:
        bool `(H, W)`; parts outside are cut off.
    """
    return _mask(bookmark, shape, Frame.ellipse)


def _mask(
    bookmark: Bookmark, shape: Sequence[int], radius: Callable[[Frame], np.ndarray]
) -> np.ndarray:
    canvas = np.zeros(tuple(shape), bool)
    # Both shapes lie within the parallelogram through the end points, half a pixel wider.
    centre, points = crossing(bookmark), bookmark.points()
    reach = np.abs(points[:2] - centre).max(axis=0) + np.abs(points[2:] - centre).max(axis=0) + 2
    x1, y1 = np.maximum(np.floor(centre - reach), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(centre + reach) + 1, np.array(shape)[::-1]).astype(int)
    if x1 < x2 and y1 < y2:
        frame = Frame.of(bookmark, (y2 - y1, x2 - x1), (x1, y1))
        inside = canvas[y1:y2, x1:x2] = radius(frame) <= 1
        if not inside.any():
            _mark_pixel(canvas, centre)
    return canvas


def _mark_pixel(canvas: np.ndarray, point: np.ndarray) -> None:
    """Mark the pixel that holds a point (x, y), if the canvas does."""
    last = np.array(canvas.shape[::-1]) - 1
    if (point >= -0.5).all() and (point <= last + 0.5).all():
        x, y = np.minimum(np.floor(point + 0.5).astype(int), last)
        canvas[y, x] = True


def recist_box_mask(bookmark: Bookmark, shape: Sequence[int]) -> np.ndarray:
    """Fill the RECIST box: all pixels whose centre lies in it, give or take half a pixel.

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
    """Return where the axes cross, (x, y), kept on the long axis; its midpoint if parallel."""
    (x1, y1), (x2, y2) = bookmark.long_axis.tolist()
    (x3, y3), (x4, y4) = bookmark.short_axis.tolist()
    along_x, along_y, across_x, across_y = x2 - x1, y2 - y1, x4 - x3, y4 - y3
    determinant = along_x * across_y - along_y * across_x
    if abs(determinant) < 1e-9 * max(1.0, along_x**2 + along_y**2):
        return np.array(((x1 + x2) / 2, (y1 + y2) / 2))
    fraction = ((x3 - x1) * across_y - (y3 - y1) * across_x) / determinant
    fraction = min(max(fraction, 0.0), 1.0)
    return np.array((x1 + fraction * along_x, y1 + fraction * along_y))


@dataclass(frozen=True)
class Frame:
    """The pixels of an image in the frame of a bookmark.

    Origin: where the axes cross. The axes cut the plane into four quarters, and each quarter is
    measured with its own two half axes, so that shapes pass through all four end points also where
    the axes do not halve each other, or stand a little askew. Half a pixel is added to each half
    axis (see the head of this module).

    Attributes:
        u: `(H, W)` float32, position along the long axis in units of the half axis on that side.
        v: `(H, W)` float32, the same along the short axis.
        half_u: `(H, W)` float32, that half axis in pixels.
        half_v: `(H, W)` float32, that half axis in pixels.
    """

    u: np.ndarray
    v: np.ndarray
    half_u: np.ndarray
    half_v: np.ndarray

    @classmethod
    def of(
        cls, bookmark: Bookmark, shape: Sequence[int], offset: Sequence[float] = (0.0, 0.0)
    ) -> Frame:
        """Compute the frame.

        Args:
            bookmark: end points in pixels of the whole image.
            shape: (H, W) of the part of the image to cover.
            offset: (x, y) of that part's first pixel in the image.
        """
        centre = crossing(bookmark)
        along, across = _directions(bookmark)
        area = along[0] * across[1] - along[1] * across[0]
        to_axes = np.array(((across[1], -across[0]), (-along[1], along[0]))) / area
        x = np.arange(offset[0], offset[0] + shape[1]) - centre[0]
        y = (np.arange(offset[1], offset[1] + shape[0]) - centre[1])[:, None]
        parts = []
        for row, axis in zip(to_axes, (bookmark.long_axis, bookmark.short_axis), strict=True):
            position = (row[0] * x + row[1] * y).astype(np.float32)
            ends = (axis - centre) @ row
            below = np.float32(max(-ends.min(), 0.0) + 0.5)
            above = np.float32(max(ends.max(), 0.0) + 0.5)
            half = np.where(position < 0, below, above)
            parts.append((position / half, half))
        (u, half_u), (v, half_v) = parts
        return cls(u, v, half_u, half_v)

    def ellipse(self) -> np.ndarray:
        """Return `(H, W)`: at most 1 inside the four quarter ellipses through the end points."""
        return np.sqrt(self.u * self.u + self.v * self.v)

    def diamond(self) -> np.ndarray:
        """Return `(H, W)`: at most 1 inside the quadrilateral of the end points."""
        return np.abs(self.u) + np.abs(self.v)

    def ellipse_distance(self) -> np.ndarray:
        """Return `(H, W)`: signed distance to the ellipse in pixels, < 0 inside; to first order."""
        radius = self.ellipse()
        slope = np.hypot(self.u / self.half_u, self.v / self.half_v)
        return (radius - 1.0) * radius / np.maximum(slope, np.float32(1e-6))

    def superellipse_distance(self, exponent: float) -> np.ndarray:
        """Return `(H, W)`: the same of the superellipse |u|^p + |v|^p = 1, leaner for p below 2."""
        u, v = np.abs(self.u), np.abs(self.v)
        radius = np.maximum((u**exponent + v**exponent) ** (1 / exponent), np.float32(1e-6))
        slope = np.hypot(
            (u / radius) ** (exponent - 1) / self.half_u,
            (v / radius) ** (exponent - 1) / self.half_v,
        )
        return (radius - 1.0) / np.maximum(slope, np.float32(1e-6))

    def beyond_ends(self) -> np.ndarray:
        """Return `(H, W)`: how far a pixel lies beyond the end of an axis, along it, in pixels."""
        return np.maximum((np.abs(self.u) - 1) * self.half_u, (np.abs(self.v) - 1) * self.half_v)


def _directions(bookmark: Bookmark) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors of both axes; perpendicular where the short axis has no direction."""
    length, width = bookmark.long_length(), bookmark.short_length()
    along = np.diff(bookmark.long_axis, axis=0)[0] / length if length else np.array((1.0, 0.0))
    normal = np.array((-along[1], along[0]))
    across = bookmark.short_axis[1] - bookmark.short_axis[0]
    height = abs(float(across @ normal))
    # A short axis of less than half a pixel, or one that leans over, says nothing of a direction.
    # In pixels of 4 mm × 1 mm even perpendicular axes may stand at 28°.
    usable = height > 0.5 and height > LEAST_SINE * width
    return along, across / width if usable else normal


def draw_segments(canvas: np.ndarray, bookmark: Bookmark, value: int, trim_px: float = 0.0) -> None:
    """Draw both axes into a uint8 canvas, in place, one pixel wide; ends cut by `trim_px`."""
    for axis in (bookmark.long_axis, bookmark.short_axis):
        (x1, y1), (x2, y2) = axis.tolist()
        half = math.hypot(x2 - x1, y2 - y1) / 2
        cut = min(trim_px, half) / (2 * half or 1.0)
        dx, dy = cut * (x2 - x1), cut * (y2 - y1)
        ends = (x1 + dx, y1 + dy), (x2 - dx, y2 - dy)
        start, end = ([round(c * (1 << _SUBPIXEL_BITS)) for c in point] for point in ends)
        cv2.line(canvas, start, end, value, 1, cv2.LINE_8, _SUBPIXEL_BITS)
