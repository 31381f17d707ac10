"""Overlap between predictions and true lesions, for all images of a test set at once.

Letters: N predictions, M lesions, I images, D dimensions (2 or 3); a *pair* is one prediction and
one lesion of the same image that overlap at all. Pairs that do not overlap are never stored: no
rule of this package can match them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("iou", "iobb", "iogt", "radius", "centre")
# Pairs are formed in blocks of about this many, so that a block stays in the processor's cache.
_BLOCK = 1 << 17


@dataclass(frozen=True)
class Pairs:
    """Overlapping (prediction, lesion) pairs of a test set.

    Attributes:
        pred: `(K,)` index of the prediction in the concatenation over images.
        gt: `(K,)` index of the lesion in the concatenation over images.
        overlap: `(K,)` overlap in (0, 1]; 1 for the two centre rules.
    """

    pred: np.ndarray
    gt: np.ndarray
    overlap: np.ndarray


def box_pairs(
    pred_boxes: np.ndarray,
    pred_image: np.ndarray,
    gt_boxes: np.ndarray,
    gt_counts: np.ndarray,
    *,
    kind: str = "iou",
    inclusive: bool = False,
) -> Pairs:
    """Find all overlapping pairs of boxes that lie in the same image.

    Args:
        pred_boxes: `(N, 2 D)` corners, all lower ones first: x1, y1, (z1,) x2, y2, (z2).
        pred_image: `(N,)` index of the image, 0 to I - 1.
        gt_boxes: `(M, 2 D)`, ordered by image.
        gt_counts: `(I,)` number of lesions in each image.
        kind: `'iou'` intersection over union; `'iobb'` intersection over the prediction;
            `'iogt'` intersection over the lesion; `'radius'` 1 if the centres are no further apart
            than half the longest side of the lesion's box; `'centre'` 1 if the prediction's centre
            lies in the lesion's box, border included.
        inclusive: Upper corners are the last voxel inside (a side is x2 - x1 + 1), not its end.

    Returns:
        Pairs: Ordered by prediction, then lesion.

    Raises:
        ValueError: Unknown `kind`.
    """
    if kind not in KINDS:
        raise ValueError(f"Expected overlap to be one of {', '.join(KINDS)} but got {kind!r}")
    starts = np.cumsum(gt_counts) - gt_counts
    per_pred = np.asarray(gt_counts)[pred_image]
    ends = np.cumsum(per_pred)
    pred_columns = np.ascontiguousarray(pred_boxes.T, dtype=np.float64)
    gt_columns = np.ascontiguousarray(gt_boxes.T, dtype=np.float64)
    found = []
    first = 0
    while first < len(per_pred):
        before = ends[first] - per_pred[first]
        last = max(first + 1, int(np.searchsorted(ends, before + _BLOCK, side="right")))
        counts = per_pred[first:last]
        pred = np.repeat(np.arange(first, last), counts)
        within = np.arange(len(pred)) - np.repeat(ends[first:last] - counts - before, counts)
        gt = within + np.repeat(starts[pred_image[first:last]], counts)
        found.append(_overlapping(pred_columns, gt_columns, pred, gt, kind, inclusive))
        first = last
    if not found:
        return Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    return Pairs(*(np.concatenate(part) for part in zip(*found, strict=True)))


def shares_on_regions(
    pred_boxes: np.ndarray,
    pred_image: np.ndarray,
    region_boxes: np.ndarray,
    region_counts: np.ndarray,
    *,
    kind: str = "iobb",
    inclusive: bool = False,
) -> np.ndarray:
    """Compute `(N,)` highest overlap of each prediction with a region to ignore, 0 without any.

    Args:
        pred_boxes: `(N, 2 D)` as in `box_pairs`.
        pred_image: `(N,)` as in `box_pairs`.
        region_boxes: `(R, 2 D)` regions, ordered by image.
        region_counts: `(I,)` number of regions in each image.
        kind: See `box_pairs`; `'iobb'` is the share of the prediction inside the region.
        inclusive: See `box_pairs`.
    """
    pairs = box_pairs(
        pred_boxes, pred_image, region_boxes, region_counts, kind=kind, inclusive=inclusive
    )
    shares = np.zeros(len(pred_boxes))
    np.maximum.at(shares, pairs.pred, pairs.overlap)
    return shares


def _overlapping(pred_columns, gt_columns, pred, gt, kind, inclusive):
    """Keep the candidate pairs that overlap; one axis at a time, so that most go early."""
    dims = len(gt_columns) // 2
    one = 1.0 if inclusive else 0.0
    if kind == "radius":
        return _within_radius(pred_columns, gt_columns, pred, gt, one)
    intersection = None
    for axis in range(dims):
        low, high = gt_columns[axis][gt], gt_columns[axis + dims][gt]
        if kind == "centre":
            middle = ((pred_columns[axis] + pred_columns[axis + dims]) / 2)[pred]
            keep = np.flatnonzero((low <= middle) & (middle <= high))
            side = None
        else:
            side = (
                np.minimum(pred_columns[axis + dims][pred], high)
                - np.maximum(pred_columns[axis][pred], low)
                + one
            )
            keep = np.flatnonzero(side > 0)
        pred, gt = pred[keep], gt[keep]
        if side is not None:
            side = side[keep]
            intersection = side if axis == 0 else intersection[keep] * side
    if kind == "centre":
        return pred, gt, np.ones(len(pred))
    pred_size = _sizes(pred_columns, one)[pred]
    gt_size = _sizes(gt_columns, one)[gt]
    if kind == "iobb":
        return pred, gt, intersection / pred_size
    if kind == "iogt":
        return pred, gt, intersection / gt_size
    return pred, gt, intersection / (pred_size + gt_size - intersection)


def _within_radius(pred_columns, gt_columns, pred, gt, one):
    """Find pairs with centres at most half the lesion's longest side apart."""
    dims = len(gt_columns) // 2
    sides = gt_columns[dims:] - gt_columns[:dims] + one
    reach = (sides.max(axis=0) / 2) ** 2
    distance = np.zeros(len(pred))
    for axis in range(dims):
        pred_middle = (pred_columns[axis] + pred_columns[axis + dims]) / 2
        gt_middle = (gt_columns[axis] + gt_columns[axis + dims]) / 2
        distance += (pred_middle[pred] - gt_middle[gt]) ** 2
    keep = np.flatnonzero(distance <= reach[gt])
    return pred[keep], gt[keep], np.ones(len(keep))


def _sizes(columns, one):
    dims = len(columns) // 2
    size = columns[dims] - columns[0] + one
    for axis in range(1, dims):
        size = size * (columns[axis + dims] - columns[axis] + one)
    return size


def matrix_pairs(matrices: list[np.ndarray]) -> Pairs:
    """Turn one overlap matrix per image into pairs.

    Args:
        matrices: For each image `(n, m)` overlaps, predictions by lesions.

    Returns:
        Pairs: The entries above 0, indices in the concatenation over images.
    """
    preds, lesions, overlaps = [], [], []
    pred_start = gt_start = 0
    for matrix in matrices:
        row, column = np.nonzero(matrix)
        preds.append(row + pred_start)
        lesions.append(column + gt_start)
        overlaps.append(np.asarray(matrix, dtype=np.float64)[row, column])
        pred_start += matrix.shape[0]
        gt_start += matrix.shape[1]
    if not preds:
        return Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    return Pairs(np.concatenate(preds), np.concatenate(lesions), np.concatenate(overlaps))
