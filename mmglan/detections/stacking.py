"""Stacking of 2D detections on axial slices into 3D detections (paper, Sec. 4 on DeepLesion)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmglan.detections.box_overlaps import box_pairs


@dataclass(frozen=True, eq=False)
class Stacks:
    """3D detections of one volume.

    Attributes:
        boxes: `(K, 7)` x1, y1, z1, x2, y2, z2, score; by falling score. Upper corners are where
            the box ends: slices z1 to z2 - 1 (so `inclusive=False` in `froc`).
        members: For each stack its (slice, row) pairs, by slice.
    """

    boxes: np.ndarray
    members: list[list[tuple[int, int]]]


def stack(
    slices: Mapping[int, np.ndarray] | Sequence[np.ndarray], *, iou_threshold: float = 0.1
) -> Stacks:
    """Link boxes that overlap on consecutive slices.

    Between two neighbouring slices the pairs with an IoU above the threshold are linked by falling
    IoU, each box at most once upwards and once downwards; equal IoU in the order of the rows. A
    chain of links is one detection: its box is the union of its boxes, its score their maximum. A
    slice without a box, or one that is missing, ends a chain. A box without a link is a stack of
    its own, one slice thick.

    Args:
        slices: By slice index (or in the order of the slices, from 0) `(n, 5)`: x1, y1, x2, y2,
            score.
        iou_threshold: Boxes are linked when their IoU is above this.

    Returns:
        Stacks: The 3D detections.

    Example:
        Two boxes that shift by one pixel from slice 0 to slice 1, and one far away on slice 1.

        >>> stacks = stack([[[0, 0, 10, 10, 0.6]], [[1, 0, 11, 10, 0.8], [50, 0, 60, 9, 0.3]]])
        >>> stacks.boxes.tolist()
        [[0.0, 0.0, 0.0, 11.0, 10.0, 2.0, 0.8], [50.0, 0.0, 1.0, 60.0, 9.0, 2.0, 0.3]]
        >>> stacks.members
        [[(0, 0), (1, 0)], [(1, 1)]]
    """
    items = slices.items() if isinstance(slices, Mapping) else enumerate(slices)
    rows = {}
    for index, boxes in sorted(items):
        boxes = np.asarray(boxes, dtype=np.float64)
        boxes = boxes.reshape(0, 5) if boxes.size == 0 else boxes
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise ValueError(f"slice {index}: Expected boxes of shape (n, 5) but got {boxes.shape}")
        rows[int(index)] = boxes
    chains: list[list[tuple[int, int]]] = []
    below: dict[int, list[tuple[int, int]]] = {}
    previous = None
    for index, boxes in rows.items():
        links = {}
        if previous is not None and index == previous + 1:
            links = _links(rows[previous], boxes, iou_threshold)
        here = {}
        for row in range(len(boxes)):
            chain = below[links[row]] if row in links else []
            if not chain:
                chains.append(chain)
            chain.append((index, row))
            here[row] = chain
        below, previous = here, index
    found = np.zeros((len(chains), 7))
    for number, chain in enumerate(chains):
        parts = np.array([rows[index][row] for index, row in chain])
        found[number, :2] = parts[:, :2].min(axis=0)
        found[number, 3:5] = parts[:, 2:4].max(axis=0)
        found[number, 2], found[number, 5] = chain[0][0], chain[-1][0] + 1
        found[number, 6] = parts[:, 4].max()
    order = np.argsort(-found[:, 6], kind="stable")
    return Stacks(found[order], [chains[number] for number in order])


def _links(lower, upper, iou_threshold):
    """Return for each linked row of `upper` its row of `lower`."""
    slice_of_lower = np.zeros(len(lower), dtype=int)
    pairs = box_pairs(lower[:, :4], slice_of_lower, upper[:, :4], np.array([len(upper)]))
    by_iou = np.argsort(-pairs.overlap, kind="stable")
    links, used = {}, set()
    for pair in by_iou[pairs.overlap[by_iou] > iou_threshold]:
        one, other = int(pairs.pred[pair]), int(pairs.gt[pair])
        if one not in used and other not in links:
            links[other] = one
            used.add(one)
    return links
