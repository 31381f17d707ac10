"""Pseudo masks from RECIST bookmarks with GrabCut (paper, Sec. 3.1).

Two seedings:

* ``paper``: inside a square of twice the longer diameter, the two segments are certain foreground,
  the quadrilateral is probable foreground, everything else is probable background.
* ``bounded`` (default): the same, and everything outside 1.3 × the oval through the end points is
  certain background, so that the mask cannot leak into a neighbour of the same intensity.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from data_prep import recist, shapes
from data_prep.recist import Bookmark

SEEDS = ("bounded", "paper")
ITERATIONS = 5
BOUND = 1.3
# Accepted ratio of either axis, result's to bookmark's (each measured in whole pixels: + 1).
AXIS_RATIO = (0.7, 1.4)


@dataclass(frozen=True)
class PseudoMask:
    """A pseudo mask and where it came from.

    Attributes:
        mask: bool `(H, W)`.
        source: ``grabcut:<seeds>`` or ``ellipse:<why GrabCut's result was refused>``.
    """

    mask: np.ndarray
    source: str


def pseudo_mask(image: np.ndarray, bookmark: Bookmark, seeds: str = "bounded") -> PseudoMask:
    """Segment a lesion from its bookmark.

    Args:
        image: `(H, W)`, any numeric type, finite.
        bookmark: end points in pixels of the image.
        seeds: one of :data:`SEEDS`.

    Returns:
        GrabCut's mask, cleaned, or the oval through the end points where GrabCut's fails a check.
        The same input gives the same mask, whatever ran before.

    Raises:
        ValueError: if the image is not 2D, the seeds are unknown, or the bookmark lies outside.
    """
    if seeds not in SEEDS:
        raise ValueError(f"Expected seeds to be one of {', '.join(SEEDS)} but got {seeds!r}.")
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(f"Expected an image of shape (H, W) but got {image.shape}.")
    x1, y1, x2, y2 = region(bookmark, image.shape)
    local = Bookmark(bookmark.long_axis - (x1, y1), bookmark.short_axis - (x1, y1))
    labels = _seed(local, (y2 - y1, x2 - x1), seeds)
    segments = labels == cv2.GC_FGD
    if not segments.any():
        raise ValueError(f"Expected a bookmark inside the image but got {bookmark.points()}.")
    crop, reason = _cut(image[y1:y2, x1:x2], labels)
    if not reason:
        crop = _clean(crop, segments)
        reason = _refusal(crop, segments, local)
    if reason:
        return PseudoMask(shapes.ellipse_mask(bookmark, image.shape), f"ellipse:{reason}")
    mask = np.zeros(image.shape, bool)
    mask[y1:y2, x1:x2] = crop
    return PseudoMask(mask, f"grabcut:{seeds}")


def region(bookmark: Bookmark, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square around the long axis' midpoint, side 2 × its length, cut to the image.

    Returns:
        (x1, y1, x2, y2), first pixel and one past the last.
    """
    middle, half = bookmark.long_axis.mean(axis=0), bookmark.long_length()
    low = np.maximum(np.floor(middle - half + 0.5).astype(int), 0)
    high = np.minimum(np.floor(middle + half + 0.5).astype(int) + 1, shape[::-1])
    return int(low[0]), int(low[1]), int(max(high[0], low[0])), int(max(high[1], low[1]))


def _seed(bookmark: Bookmark, shape: tuple[int, int], seeds: str) -> np.ndarray:
    labels = np.full(shape, cv2.GC_PR_BGD, np.uint8)
    if seeds == "bounded":
        labels[shapes.ellipse_radius(bookmark, shape) > BOUND] = cv2.GC_BGD
    shapes.draw_quadrilateral(labels, bookmark.quadrilateral(), cv2.GC_PR_FGD)
    shapes.draw_segments(labels, bookmark, cv2.GC_FGD)
    return labels


def _cut(image: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, str]:
    background = (labels == cv2.GC_BGD) | (labels == cv2.GC_PR_BGD)
    if not background.any():
        return labels, "no background"
    grey = _eight_bits(image)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    # GrabCut's k-means draws from OpenCV's global generator.
    cv2.setRNGSeed(0)
    cv2.grabCut(
        cv2.merge((grey, grey, grey)), labels, None, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK
    )
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), ""


def _eight_bits(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (1, 99))
    scaled = (image.astype(np.float32) - np.float32(low)) * np.float32(255.0 / ((high - low) or 1))
    return np.clip(scaled + 0.5, 0, 255).astype(np.uint8)


def _clean(mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """The component that holds most of the segments, holes filled."""
    components, _ = ndimage.label(mask)
    votes = np.bincount(components[segments & mask])
    if len(votes) < 2:
        return np.zeros_like(mask)
    votes[0] = 0
    return ndimage.binary_fill_holes(components == votes.argmax())


def _refusal(mask: np.ndarray, segments: np.ndarray, bookmark: Bookmark) -> str:
    """Why a mask is not acceptable; empty if it is."""
    if not mask.any():
        return "empty"
    border = np.concatenate((mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    if border.any():
        return "touches border"
    measured = recist.measure(mask)
    for name, got, expected in (
        ("long axis", measured.long_length(), bookmark.long_length()),
        ("short axis", measured.short_length(), bookmark.short_length()),
    ):
        if not AXIS_RATIO[0] <= (got + 1) / (expected + 1) <= AXIS_RATIO[1]:
            return f"{name} off"
    return ""
