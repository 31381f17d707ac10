"""Overlap and surface distance of two masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Compute Dice's coefficient, 2 |A ∩ B| / (|A| + |B|); two empty masks give 1.

    Args:
        a: mask of any shape; what is not 0 is foreground.
        b: mask of the same shape.

    Raises:
        ValueError: if the shapes differ.
    """
    a, b = _pair(a, b)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2.0 * np.count_nonzero(a & b) / total if total else 1.0


def average_surface_distance(a: np.ndarray, b: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Compute the average symmetric surface distance in mm.

    A mask's surface is made of its pixels with at least one background neighbour across an edge (in
    3D: a face); beyond the image is background. Every surface pixel of either mask contributes its
    distance, from centre to centre, to the nearest surface pixel of the other mask, and the mean is
    taken over **all** of them (both surfaces pooled, not the mean of two means).

    Args:
        a: mask `(H, W)` or `(D, H, W)`; what is not 0 is foreground.
        b: mask of the same shape.
        spacing_mm: pixel spacing in mm in the order x, y (, z): the reverse of the array's axes.

    Returns:
        mm; 0 if both masks are empty, infinity if one is.

    Raises:
        ValueError: if the shapes differ, or the spacing does not fit them.
    """
    a, b = _pair(a, b)
    if len(spacing_mm) != a.ndim or not all(value > 0 for value in spacing_mm):
        raise ValueError(f"Expected {a.ndim} positive spacings but got {tuple(spacing_mm)}.")
    if not a.any() and not b.any():
        return 0.0
    if not a.any() or not b.any():
        return float("inf")
    # The common bounds hold both surfaces: nothing outside them matters.
    crop = ndimage.find_objects((a | b).astype(np.uint8))[0]
    surface_a, surface_b = _surface(a[crop]), _surface(b[crop])
    sampling = tuple(spacing_mm)[::-1]
    to_a = ndimage.distance_transform_edt(~surface_a, sampling=sampling)
    to_b = ndimage.distance_transform_edt(~surface_b, sampling=sampling)
    return float(np.concatenate((to_b[surface_a], to_a[surface_b])).mean())


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a) != 0, np.asarray(b) != 0
    if a.shape != b.shape:
        raise ValueError(f"Expected two masks of one shape but got {a.shape} and {b.shape}.")
    return a, b


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)
