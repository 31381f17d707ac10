"""Intensity normalisation: the paper's, and a fixed window for CT."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def normalize(image: np.ndarray) -> np.ndarray:
    """Normalise an image to [0, 1] as the paper does (Sec. 4.1).

    Values above the 99th percentile are set to the largest remaining value, then minimum and
    maximum are mapped to 0 and 1. Pass a slice for normalisation per image, a volume for
    normalisation per volume.

    Args:
        image: any shape, at least one value, all finite.

    Returns:
        float32 of the same shape. A constant image gives zeros.

    Raises:
        ValueError: if the image is empty or holds NaN or infinity.
    """
    return _normalized(image, lambda values: values)


def normalize_to_uint16(image: np.ndarray) -> np.ndarray:
    """Return `to_uint16` of `normalize`, in less time for whole numbers."""
    return _normalized(image, to_uint16)


def _normalized(image: np.ndarray, finish: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    image = np.asarray(image)
    if not image.size:
        raise ValueError("Expected an image with at least one value but got an empty one.")
    lowest, largest = image.min(), image.max()
    # The largest value that is not above the (linearly interpolated) 99th percentile is an order
    # statistic, found without rounding.
    rank = 99 * (image.size - 1) // 100
    highest = np.partition(image, rank, axis=None)[rank]
    if image.dtype.kind in "iu" and int(largest) - int(lowest) < min(image.size, 1 << 16):
        # Few different values: each is computed once.
        values = np.arange(int(lowest), int(largest) + 1)
        steps = np.subtract(image, lowest, dtype=np.intp, casting="unsafe")
        return finish(_rescale(values, lowest, highest)).take(steps)
    return finish(_rescale(image, lowest, highest))


def window(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map a fixed window to [0, 1], clipping what lies outside; for CT, in Hounsfield units.

    Args:
        image: any shape.
        low: value that becomes 0.
        high: value that becomes 1, above `low`.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: if `low` is not below `high`, or the image holds NaN or infinity.
    """
    if not low < high:
        raise ValueError(f"Expected a window with low < high but got low={low}, high={high}.")
    return _rescale(np.asarray(image), low, high)


def to_uint16(image: np.ndarray) -> np.ndarray:
    """Scale an image in [0, 1] to the 16 bits of the written slices: round(value × 65535)."""
    return np.round(np.asarray(image, dtype=np.float32) * 65535.0).astype(np.uint16)


def _rescale(image: np.ndarray, low: float, high: float) -> np.ndarray:
    # float64 keeps wide integers exact until after the subtraction.
    low, high = float(low), float(high)
    real = image.dtype.kind == "f"
    if not (np.isfinite(low) and np.isfinite(high)) or (real and not np.isfinite(image).all()):
        raise ValueError("Expected finite intensities but got NaN or infinity.")
    scaled = (np.clip(image.astype(np.float64), low, high) - low) / ((high - low) or 1.0)
    return scaled.astype(np.float32)
