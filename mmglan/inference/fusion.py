"""Weighted box fusion: several detectors, or views of a slice, as one detector.

Source: Solovyev et al. 2021. Masks are fused with the same weights as the boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from pycocotools import mask as mask_utils

from data_prep.errors import DataError
from mmglan.inference.linking import Detections2D
from mmglan.inference.soft_masks import SoftMask

IOU = 0.55


class Slices2D(Protocol):
    """Anything that detects on the slices of a volume."""

    classes: tuple[str, ...]

    def detect(self, array: np.ndarray) -> Iterator[tuple[int, Detections2D]]:
        """Yield (slice index, detections) for every slice of `(Z, Y, X)`."""


class MirroredSlices:
    """The same detector on slices mirrored left to right, its detections mirrored back."""

    def __init__(self, detector: Slices2D) -> None:
        self.detector, self.classes = detector, detector.classes

    def detect(self, array: np.ndarray) -> Iterator[tuple[int, Detections2D]]:
        """See `Slices2D`."""
        width = array.shape[2]
        for z, found in self.detector.detect(array[:, :, ::-1]):
            yield z, mirrored(found, width)


class FusedSlices:
    """Several detectors of the same classes as one."""

    def __init__(self, members: Sequence[Slices2D]) -> None:
        self.members, self.classes = members, members[0].classes
        for member in members:
            if member.classes != self.classes:
                raise DataError(
                    f"Expected models of the same classes but got {', '.join(self.classes)} and "
                    f"{', '.join(member.classes)}. Use them one by one."
                )

    def detect(self, array: np.ndarray) -> Iterator[tuple[int, Detections2D]]:
        """See `Slices2D`."""
        for found in zip(*(member.detect(array) for member in self.members), strict=True):
            yield found[0][0], fuse([detections for _, detections in found])


def mirrored(found: Detections2D, width: int) -> Detections2D:
    """Return the detections on the slice mirrored left to right, of `width` pixels."""
    boxes = found.boxes.copy()
    boxes[:, [0, 2]] = width - found.boxes[:, [2, 0]]
    masks = None if found.masks is None else [mask.mirrored() for mask in found.masks]
    return Detections2D(boxes, found.scores, found.labels, masks)


def fuse(members: Sequence[Detections2D], iou: float = IOU) -> Detections2D:
    """Join the detections of several detectors on one slice.

    Detections are taken by falling score. Each joins the cluster of its class whose fused box it
    overlaps most, if by more than `iou`, else it founds one. The fused box is the mean of the
    members' boxes weighted by score; the fused score is their mean score, times the share of the
    detectors that the members could be of.

    Args:
        members: One entry per detector.
        iou: See above.

    Examples:
        Two detectors agree on a box, a third sees nothing.

        >>> one = Detections2D(np.array([[0.0, 0, 10, 10]]), np.array([0.9]), np.array([0]))
        >>> two = Detections2D(np.array([[0.0, 0, 10, 13]]), np.array([0.6]), np.array([0]))
        >>> none = Detections2D(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
        >>> fused = fuse([one, two, none])
        >>> fused.boxes.round(2).tolist(), fused.scores.round(2).tolist()
        ([[0.0, 0.0, 10.0, 11.2]], [0.5])
    """
    boxes = np.concatenate([found.boxes for found in members]).astype(float)
    scores = np.concatenate([found.scores for found in members]).astype(float)
    labels = np.concatenate([found.labels for found in members])
    clusters: list[list[int]] = []
    fused = np.zeros((0, 4))
    for row in np.argsort(-scores, kind="stable"):
        same = np.array([labels[cluster[0]] == labels[row] for cluster in clusters], bool)
        overlap = np.where(same, _overlaps(boxes[row], fused), -1.0)
        best = int(overlap.argmax()) if len(overlap) else 0
        if len(overlap) and overlap[best] > iou:
            clusters[best].append(int(row))
            fused[best] = _mean_box(boxes, scores, clusters[best])
        else:
            clusters.append([int(row)])
            fused = np.concatenate([fused, boxes[row][None]])
    count = np.array([len(cluster) for cluster in clusters])
    score = np.array([scores[cluster].mean() for cluster in clusters])
    score = score * np.minimum(count, len(members)) / len(members)
    order = np.argsort(-score, kind="stable")
    with_masks = all(found.masks is not None for found in members)
    masks = [mask for found in members for mask in found.masks] if with_masks else None
    return Detections2D(
        fused[order],
        score[order],
        np.array([labels[clusters[place][0]] for place in order], int),
        None if masks is None else [_mean_mask(masks, scores, clusters[p]) for p in order],
    )


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    if not len(others):
        return np.zeros(0)
    one, many = (
        np.column_stack([b[:, :2], b[:, 2:] - b[:, :2]]) for b in (box[None], np.array(others))
    )
    return mask_utils.iou(one, many, [0] * len(many))[0]


def _mean_box(boxes: np.ndarray, scores: np.ndarray, cluster: list[int]) -> np.ndarray:
    weights = scores[cluster]
    return weights @ boxes[cluster] / weights.sum() if weights.sum() else boxes[cluster].mean(0)


def _mean_mask(masks: Sequence[SoftMask], scores: np.ndarray, cluster: list[int]) -> SoftMask:
    if len(cluster) == 1:
        return masks[cluster[0]]
    weights = scores[cluster]
    whole = sum(w * masks[row].whole() for w, row in zip(weights, cluster, strict=True))
    return SoftMask.of(np.round(whole / weights.sum()).astype(np.uint8))
