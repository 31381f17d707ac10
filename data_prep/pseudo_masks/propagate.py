"""Pseudo masks on the slices around a bookmark's: the lesion followed from slice to slice.

A bookmark lies on one slice, its lesion on several. On each next slice GrabCut starts from the mask
of the one before: its core is certain foreground, what is further than a margin from it certain
background. The lesion is followed until a mask is no longer like the one before, or no longer
stands out as the bookmarked one does; masks further away would be guesses.

The limits were set on training patients of one fold of LGG (docs/pseudo_masks.md says how they do
elsewhere).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.pseudo_masks.grabcut import clean, cut, eight_bits

# In radii of the disc of the mask's area: how far in it is certain, how far out it may grow.
CORE, MARGIN = 0.5, 0.15
# Accepted ratio of areas and intersection over union with the mask of the slice before.
AREA_RATIO, MIN_IOU = (0.5, 1.3), 0.55
# Against the bookmarked slice: least share of the contrast to the surroundings, and greatest
# difference of mean intensity in standard deviations inside the lesion.
MIN_CONTRAST, MAX_SHIFT = 0.5, 1.0
# Width of the surroundings, pixels.
RING_PX = 3


@dataclass(frozen=True)
class _Look:
    """Mean and standard deviation inside a mask, and the contrast to its surroundings."""

    mean: float
    deviation: float
    contrast: float

    @classmethod
    def of(cls, image: np.ndarray, mask: np.ndarray) -> _Look:
        inside = image[mask].astype(np.float64)
        around = image[_grown(mask, RING_PX) & ~mask].astype(np.float64)
        outside = around.mean() if around.size else inside.mean()
        return cls(inside.mean(), inside.std(), inside.mean() - outside)

    def is_like(self, first: _Look) -> bool:
        return (
            self.contrast * math.copysign(1, first.contrast) >= MIN_CONTRAST * abs(first.contrast)
            and abs(self.mean - first.mean) <= MAX_SHIFT * first.deviation
        )


def propagate(
    image: Callable[[int], np.ndarray],
    depth: int,
    key: int,
    mask: np.ndarray,
    reach: int,
    is_free: Callable[[int, np.ndarray], bool] = lambda z, mask: True,
) -> dict[int, np.ndarray]:
    """Follow a lesion from its bookmarked slice, up and down.

    Args:
        image: Gives slice z `(H, W)`, any numeric type.
        depth: Number of slices.
        key: The bookmarked slice.
        mask: The lesion there, bool `(H, W)`, not empty.
        reach: Greatest distance in slices.
        is_free: Tells whether nothing else is known at a mask's place on slice z.

    Returns:
        Slice → mask, without the bookmarked slice; empty where the lesion cannot be followed.
    """
    first = _Look.of(image(key), mask)
    found = {}
    for step in (-1, 1):
        before = mask
        for z in range(key + step, key + step * (reach + 1), step):
            if not 0 <= z < depth:
                break
            pixels = image(z)
            before = _next(pixels, before)
            if before is None or not _Look.of(pixels, before).is_like(first):
                break
            if not is_free(z, before):
                break
            found[z] = before
    return found


def _next(image: np.ndarray, before: np.ndarray) -> np.ndarray | None:
    """Return the mask on the next slice; None where it is not like the one before."""
    area = int(before.sum())
    radius = math.sqrt(area / math.pi)
    core = _shrunk(before, max(1, round(CORE * radius)))
    if not core.any():
        return None
    margin = max(2, round(MARGIN * radius))
    within = _grown(before, margin)
    # Enough of the surroundings for GrabCut's model of the background.
    rows, columns = np.nonzero(_grown(within, max(4, round(0.8 * radius))))
    crop = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    labels = np.full(before.shape, cv2.GC_BGD, np.uint8)
    labels[within] = cv2.GC_PR_BGD
    labels[before] = cv2.GC_PR_FGD
    labels[core] = cv2.GC_FGD
    found = cut(eight_bits(image[crop]), np.ascontiguousarray(labels[crop]), iterations=1)
    mask = np.zeros_like(before)
    mask[crop] = clean(found, core[crop].astype(np.uint8))
    ratio = mask.sum() / area
    overlap = (mask & before).sum() / (mask | before).sum()
    if not AREA_RATIO[0] <= ratio <= AREA_RATIO[1] or overlap < MIN_IOU:
        return None
    return mask


def _grown(mask: np.ndarray, radius: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), _disc(radius)) > 0


def _shrunk(mask: np.ndarray, radius: int) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), _disc(radius)) > 0


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
