"""Pseudo masks from RECIST bookmarks with GrabCut (paper, Sec. 3.1).

Three variants, which differ in the labels that GrabCut starts from and in what becomes of its
result, all inside a square of twice the longer diameter:

* `paper`: the two segments are certain foreground, the quadrilateral is probable foreground, all
  else is probable background.
* `bounded`: uses what a bookmark says beyond that. The end points lie *on* the outline,
  so pixels beyond them are certain background, as is all outside 1.3 × the ellipse through them;
  most of the quadrilateral is certain foreground; the ellipse is probable foreground. GrabCut's
  outline and the ellipse are then two estimates of one outline, and are averaged by their expected
  errors: the ellipse's grows with the size of the lesion, GrabCut's with the overlap of the
  intensities on either side of its outline. Large or crisp lesions keep GrabCut's outline, small
  faint ones the ellipse.
* `bounded-lean` (default): the same with a superellipse of less area in place of the ellipse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.bookmarks import recist
from data_prep.bookmarks.recist import Bookmark
from data_prep.pseudo_masks import shapes
from data_prep.pseudo_masks.shapes import Frame

VARIANTS = ("bounded-lean", "bounded", "paper")
ITERATIONS = 5
# Certain background outside this multiple of the ellipse (1 = through the end points).
BOUND = 1.3
# Certain foreground inside this multiple of the quadrilateral.
CORE = 0.8
# Certain background further than this beyond an end point, in units of the short axis.
END_TOLERANCE = 0.05
# Accepted ratio of either axis, result's to bookmark's (each measured in whole pixels: + 1).
AXIS_RATIO = (0.7, 1.4)
# Expected error of the ellipse's outline: pixels, and per pixel of the short axis.
ELLIPSE_ERROR_PX, ELLIPSE_ERROR = 0.3, 0.08
# Of the superellipse of `bounded-lean`, between the ellipse (2) and the quadrilateral (1).
LEAN_EXPONENT = 1.5
# Expected error of GrabCut's outline in pixels where the intensities on its two sides differ by
# one standard deviation; inversely proportional to that difference. It never falls below the error
# of whole pixels and partial volume.
EDGE_ERROR_PX, PIXEL_ERROR_PX = 1.5, 0.4
# Width of the ring outside the outline whose intensities count, pixels.
RING_PX = 2


@dataclass(frozen=True)
class PseudoMask:
    """A pseudo mask and where it came from.

    Attributes:
        mask: Bool `(H, W)`.
        source: `grabcut:<variant>` or `ellipse:<why GrabCut's result was refused>`.
    """

    mask: np.ndarray
    source: str


def pseudo_mask(
    image: np.ndarray,
    bookmark: Bookmark,
    variant: str = "bounded-lean",
    *,
    checked: bool = True,
    iterations: int = ITERATIONS,
    spacing_xy: Sequence[float] = (1.0, 1.0),
) -> PseudoMask:
    """Segment a lesion from its bookmark.

    Args:
        image: `(H, W)`, any numeric type, finite.
        bookmark: End points in pixels of the image.
        variant: One of `VARIANTS`.
        checked: Replace GrabCut's mask by the ellipse through the end points where the mask is
            empty, reaches the border of the square, or has an axis far from the bookmark's.
            Without, the mask is returned as it comes; only where no pixel of the segments lies in
            the image is it the ellipse.
        iterations: Of GrabCut, unspecified in the paper.
        spacing_xy: Pixel spacing (x, y). With unequal spacing, as on axial slices of a sagittal
            scan, lengths are compared in mm: what is longest there is not so in pixels.

    Returns:
        The component that holds the segments, holes filled, or the ellipse. The same input gives
        the same mask, whatever ran before.

    Raises:
        ValueError: The image is not 2D, the variant is unknown, the bookmark lies outside, or there
            is no iteration.
    """
    if variant not in VARIANTS:
        raise ValueError(f"Expected a variant of {', '.join(VARIANTS)} but got {variant!r}.")
    if iterations < 1:
        raise ValueError(f"Expected at least 1 iteration of GrabCut but got {iterations}.")
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(f"Expected an image of shape (H, W) but got {image.shape}.")
    x1, y1, x2, y2 = region(bookmark, image.shape, spacing_xy)
    local = Bookmark(bookmark.long_axis - (x1, y1), bookmark.short_axis - (x1, y1))
    segments = np.zeros((y2 - y1, x2 - x1), np.uint8)
    if segments.size:
        shapes.draw_segments(segments, local, 1)
    reason = "" if segments.any() else "empty"  # on the outer edge of the image
    if not reason:
        frame = Frame.of(local, segments.shape)
        labels = _initial_labels(local, frame, variant)
        grey = eight_bits(image[y1:y2, x1:x2])
        crop = clean(cut(grey, labels, iterations), segments)
        reason = _refusal(crop, local, spacing_xy) if checked else ""
    if reason:
        ellipse = shapes.ellipse_mask(bookmark, image.shape)
        if not ellipse.any():
            raise _outside(image, bookmark)
        return PseudoMask(ellipse, f"ellipse:{reason}")
    if variant != "paper" and crop.any():
        crop = clean(_average(crop, grey, frame, bookmark.short_length(), variant), segments)
    mask = np.zeros(image.shape, bool, order="F")  # as COCO's run lengths go
    mask[y1:y2, x1:x2] = crop
    return PseudoMask(mask, f"grabcut:{variant}")


def _outside(image: np.ndarray, bookmark: Bookmark) -> ValueError:
    return ValueError(
        f"Expected a bookmark inside the image of {image.shape[1]} x {image.shape[0]} pixels "
        f"but got the end points {bookmark.points().tolist()}."
    )


def region(
    bookmark: Bookmark, shape: tuple[int, int], spacing_xy: Sequence[float] = (1.0, 1.0)
) -> tuple[int, int, int, int]:
    """Return the square around the long axis' midpoint, side 2 × its length, cut to the image.

    With unequal spacing it is a square in mm.

    Returns:
        (x1, y1, x2, y2), first pixel and one past the last.
    """
    scale = np.divide(spacing_xy, min(spacing_xy)).tolist()
    half = bookmark.long_length(scale)
    (x1, y1), (x2, y2) = bookmark.long_axis.tolist()
    sides = []
    for middle, size, unit in zip(((x1 + x2) / 2, (y1 + y2) / 2), shape[::-1], scale, strict=True):
        low = max(math.floor(middle - half / unit + 0.5), 0)
        high = min(math.floor(middle + half / unit + 0.5) + 1, size)
        sides.append((low, max(high, low)))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


def _initial_labels(bookmark: Bookmark, frame: Frame, variant: str) -> np.ndarray:
    """Return OpenCV's labels of certain and probable fore- and background, uint8 `(H, W)`."""
    labels = np.full(frame.u.shape, cv2.GC_PR_BGD, np.uint8)
    if variant == "paper":
        labels[frame.diamond() <= 1] = cv2.GC_PR_FGD
    else:
        radius = frame.ellipse()
        tolerance = END_TOLERANCE * bookmark.short_length()
        labels[(radius > BOUND) | (frame.beyond_ends() > tolerance)] = cv2.GC_BGD
        labels[radius <= 1] = cv2.GC_PR_FGD
        labels[frame.diamond() <= CORE] = cv2.GC_FGD
    # An end point between two pixels would be rounded outwards, to a spike on the outline.
    trim_px = 0.0 if variant == "paper" else 0.5
    shapes.draw_segments(labels, bookmark, cv2.GC_FGD, trim_px)
    return labels


def eight_bits(image: np.ndarray) -> np.ndarray:
    """Map the crop's 1st to 99th percentile to 0 … 255."""
    ranks = np.array((1, 99)) * (image.size - 1) // 100
    low, high = np.partition(image, ranks, axis=None)[ranks].astype(np.float64)
    scaled = (image - low) * (255.0 / ((high - low) or 1.0))
    return np.clip(scaled + 0.5, 0, 255).astype(np.uint8)


def cut(grey: np.ndarray, labels: np.ndarray, iterations: int = ITERATIONS) -> np.ndarray:
    """Run GrabCut: its foreground, uint8; changes `labels`."""
    foreground = labels & 1  # GC_FGD and GC_PR_FGD are odd
    if foreground.all() or not foreground.any():  # nothing for GrabCut to separate
        return foreground
    # GrabCut's k-means draws from OpenCV's global generator.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    colour = cv2.merge((grey, grey, grey))
    cv2.grabCut(colour, labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    return labels & 1


def clean(mask: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Return the component that holds most of the segments, holes filled; uint8."""
    count, components = cv2.connectedComponents(mask, connectivity=4)
    if count < 2:
        return mask
    votes = np.bincount(components[segments > 0], minlength=count)
    votes[0] = 0
    if not votes.any():
        return np.zeros_like(mask)
    kept = (components == votes.argmax()).astype(np.uint8)
    contours, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(kept, contours, -1, 1, cv2.FILLED)


def _refusal(mask: np.ndarray, bookmark: Bookmark, spacing_xy: Sequence[float] = (1.0, 1.0)) -> str:
    """Say why a mask is not acceptable; empty if it is."""
    if not mask.any():
        return "empty"
    if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
        return "touches border"
    scale = np.divide(spacing_xy, min(spacing_xy))
    measured = recist.measure(mask, scale)
    for name, got, expected in (
        ("long axis", measured.long_length(scale), bookmark.long_length(scale)),
        ("short axis", measured.short_length(scale), bookmark.short_length(scale)),
    ):
        if not AXIS_RATIO[0] <= (got + 1) / (expected + 1) <= AXIS_RATIO[1]:
            return f"{name} off"
    return ""


def _average(
    mask: np.ndarray, grey: np.ndarray, frame: Frame, short: float, variant: str
) -> np.ndarray:
    """Average GrabCut's outline and the shape, weighted by 1 / the expected error squared."""
    lean = variant == "bounded-lean"
    shape = frame.superellipse_distance(LEAN_EXPONENT) if lean else frame.ellipse_distance()
    shape_variance = (ELLIPSE_ERROR_PX + ELLIPSE_ERROR * short) ** 2
    cut_variance = (EDGE_ERROR_PX / max(_separation(mask, grey), 0.1)) ** 2 + PIXEL_ERROR_PX**2
    weight = shape_variance / (shape_variance + cut_variance)
    # The precise transform measures to the nearest pixel of the other side: the outline lies
    # half a pixel before it. The pixels around the crop are background.
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = np.where(mask > 0, 0.5 - inside, outside - 0.5)
    return (weight * distance + (1 - weight) * shape <= 0).astype(np.uint8)


def _separation(mask: np.ndarray, grey: np.ndarray) -> float:
    """Compute how the mask's mean differs from its ring's, in pooled standard deviations."""
    side = 2 * RING_PX + 1
    ring = cv2.dilate(mask, np.ones((side, side), np.uint8)) - mask
    if not ring.any():
        return 0.0
    mean_in, deviation_in = cv2.meanStdDev(grey, mask=mask)
    mean_out, deviation_out = cv2.meanStdDev(grey, mask=ring)
    deviation = float(np.hypot(deviation_in, deviation_out)[0, 0])
    return abs(float(mean_in[0, 0] - mean_out[0, 0])) / max(deviation, 1.0)
