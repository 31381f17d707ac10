"""Stacking of 2D detections on axial slices into 3D detections (paper, Sec. 4 on DeepLesion)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmglan.detections.box_overlaps import box_pairs

STACK_IOU = 0.1


@dataclass(frozen=True)
class Stacking:
    """How boxes on slices become 3D detections; by default as in the paper.

    Attributes:
        iou: Boxes are linked when their IoU is above this.
        gap: Slices without a box that a chain may skip.
        score: From the scores of a chain's boxes to its own: `'max'`, `'mean'`, `'noisy-or'`
            (1 - the product of 1 - score), or `'top3'`, `'top5'`…: the mean of the so many highest
            ones, where slices that a shorter chain lacks count as 0.

    Raises:
        ValueError: A value out of its range.
    """

    iou: float = STACK_IOU
    gap: int = 0
    score: str = "max"

    def __post_init__(self) -> None:
        if not 0 <= self.iou < 1:
            raise ValueError(f"Expected an IoU from 0 to below 1 for stacking but got {self.iou}")
        if self.gap < 0:
            raise ValueError(f"Expected a gap of at least 0 slices but got {self.gap}")
        score_rule(self.score)

    def stacks(self, slices: Mapping[int, np.ndarray]) -> Stacks:
        """Stack boxes in this way, see `stack`."""
        return stack(slices, iou_threshold=self.iou, max_gap=self.gap, score=self.score)


def score_rule(name: str) -> Callable[[np.ndarray], float]:
    """Return the function `(n,)` scores to score of a name, see `Stacking.score`.

    Raises:
        ValueError: No such rule.

    Examples:
        >>> [float(score_rule(name)(np.array([0.5, 0.8]))) for name in ("mean", "noisy-or", "top5")]
        [0.65, 0.9, 0.26]
    """
    simple: dict[str, Callable[[np.ndarray], float]] = {
        "max": np.max,
        "mean": np.mean,
        "noisy-or": lambda scores: 1 - np.prod(1 - scores),
    }
    if name in simple:
        return simple[name]
    if not re.fullmatch("top[1-9][0-9]?", name):
        raise ValueError(
            f"Expected the score of a stack as max, mean, noisy-or or topN (N from 1 to 99) "
            f"but got {name!r}"
        )
    count = int(name[3:])
    return lambda scores: np.sort(scores)[-count:].sum() / count


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
    slices: Mapping[int, np.ndarray] | Sequence[np.ndarray],
    *,
    iou_threshold: float = STACK_IOU,
    max_gap: int = 0,
    score: str = "max",
) -> Stacks:
    """Link boxes that overlap on consecutive slices.

    Between two neighbouring slices the pairs with an IoU above the threshold are linked by falling
    IoU, each box at most once upwards and once downwards; equal IoU in the order of the rows. A
    chain of links is one detection: its box is the union of its boxes, its score their maximum (or
    another, see `score`). A slice without a box, or one that is missing, ends a chain; with a
    `max_gap`, boxes that found no link are then tried with the ends of chains 2, 3, … slices below.
    A box without a link is a stack of its own, one slice thick.

    Args:
        slices: By slice index (or in the order of the slices, from 0) `(n, 5)`: x1, y1, x2, y2,
            score.
        iou_threshold: Boxes are linked when their IoU is above this.
        max_gap: Slices without a linked box that a chain may skip.
        score: How the scores of a chain become one, see `Stacking.score`.

    Returns:
        Stacks: The 3D detections.

    Examples:
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
    rule = score_rule(score)
    chains: list[list[tuple[int, int]]] = []
    tips: dict[int, dict[int, list[tuple[int, int]]]] = {}  # chains that end on a slice, by row
    for index, boxes in rows.items():
        here: dict[int, list[tuple[int, int]]] = {}
        for below in range(index - 1, index - 2 - max_gap, -1):
            for row, lower in _links(rows, below, tips.get(below, ()), boxes, here, iou_threshold):
                here[row] = tips[below].pop(lower)
        for row in range(len(boxes)):
            if row not in here:
                here[row] = []
                chains.append(here[row])
            here[row].append((index, row))
        tips[index] = here
    found = np.zeros((len(chains), 7))
    for number, chain in enumerate(chains):
        parts = np.array([rows[index][row] for index, row in chain])
        found[number, :2] = parts[:, :2].min(axis=0)
        found[number, 3:5] = parts[:, 2:4].max(axis=0)
        found[number, 2], found[number, 5] = chain[0][0], chain[-1][0] + 1
        found[number, 6] = rule(parts[:, 4])
    order = np.argsort(-found[:, 6], kind="stable")
    return Stacks(found[order], [chains[number] for number in order])


def _links(
    rows: Mapping[int, np.ndarray],
    below: int,
    tips: Iterable[int],
    upper: np.ndarray,
    linked: Iterable[int],
    iou_threshold: float,
) -> list[tuple[int, int]]:
    """Return pairs (row of `upper`, row of the slice below): free boxes and ends of chains."""
    ends, free = sorted(tips), [row for row in range(len(upper)) if row not in linked]
    if not ends or not free:
        return []
    pairs = box_pairs(
        rows[below][ends, :4],
        np.zeros(len(ends), dtype=int),
        upper[free, :4],
        np.array([len(free)]),
    )
    by_iou = np.argsort(-pairs.overlap, kind="stable")
    links: dict[int, int] = {}
    used: set[int] = set()
    for pair in by_iou[pairs.overlap[by_iou] > iou_threshold]:
        one, other = ends[int(pairs.pred[pair])], free[int(pairs.gt[pair])]
        if other not in links and one not in used:
            links[other] = one
            used.add(one)
    return list(links.items())
