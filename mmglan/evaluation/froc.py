"""Free-response ROC: sensitivity against false positives per image.

Letters: I images (or volumes), N predictions, M lesions, D dimensions (2 or 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmglan.detections.box_overlaps import box_pairs, shares_on_regions
from mmglan.evaluation.matching import Matches, match
from mmglan.evaluation.protocols import FROC_FPS, Criterion, Protocol, get_protocol

INTERPOLATIONS = ("linear", "step")


@dataclass(frozen=True, eq=False)
class FROCCurve:
    """A FROC curve, one point per distinct score.

    Predictions of equal score stand or fall together, since no score threshold can part them; so
    the curve does not depend on the order of the images.

    Attributes:
        fp: `(K,)` false positives per image when everything from `score` upwards is kept, rising.
        sensitivity: `(K,)` share of the lesions found, in [0, 1]; NaN when there are no lesions.
        score: `(K,)` the thresholds, falling.
        n_images: I, images without lesions and without predictions included.
        n_lesions: M.
    """

    fp: np.ndarray
    sensitivity: np.ndarray
    score: np.ndarray
    n_images: int
    n_lesions: int

    def at(self, fp: float | Sequence[float], interpolation: str = "linear"):
        """Return the sensitivity at given false positives per image.

        Args:
            fp: One value or several, at least 0.
            interpolation: `'linear'` between the curve's points, `'step'` for the last point that
                does not exceed `fp`. Before the first point both give 0, beyond the last one its
                sensitivity. Where several points share one `fp`, the highest counts.

        Returns:
            float | np.ndarray: As `fp`; NaN if there are no lesions.
        """
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"Expected interpolation to be one of {', '.join(INTERPOLATIONS)} "
                f"but got {interpolation!r}"
            )
        wanted = np.asarray(fp, dtype=np.float64)
        if not self.n_lesions:
            value = np.full(wanted.shape, np.nan)
        elif not len(self.fp):
            value = np.zeros(wanted.shape)
        elif interpolation == "linear":
            value = np.interp(wanted, self.fp, self.sensitivity, left=0.0)
        else:
            padded = np.concatenate([[0.0], self.sensitivity])
            value = padded[np.searchsorted(self.fp, wanted, side="right")]
        return float(value) if wanted.ndim == 0 else value

    def threshold_at(self, fp: float) -> float:
        """Return the lowest score threshold with at most `fp` false positives per image.

        Keep predictions with a score of at least this. `inf` (keep nothing) when already the
        highest score gives more; the lowest score when all predictions give no more.
        """
        count = int(np.searchsorted(self.fp, fp, side="right"))
        return float(self.score[count - 1]) if count else float("inf")

    def mean(self, fps: Sequence[float] = FROC_FPS, interpolation: str = "linear") -> float:
        """Mean sensitivity over operating points, by default 1/8, 1/4, …, 8 (Table 6)."""
        return float(np.mean(self.at(fps, interpolation)))

    def vertices(self) -> np.ndarray:
        """Return indices of the points that draw the curve: flat runs lose their inside."""
        if len(self.fp) < 3 or not self.n_lesions:
            return np.arange(len(self.fp))
        change = np.diff(self.sensitivity) != 0
        keep = np.ones(len(self.fp), dtype=bool)
        keep[1:-1] = change[:-1] | change[1:]
        return np.flatnonzero(keep)


def froc(
    predictions: Sequence[np.ndarray],
    ground_truth: Sequence[np.ndarray],
    *,
    threshold: float,
    overlap: str = "iou",
    dims: int = 2,
    duplicates: str = "ignore",
    inclusive: bool = False,
    assignment: str = "every",
    ignore: Sequence[np.ndarray] | None = None,
    ignore_overlap: str = "iobb",
) -> FROCCurve:
    """Compute the FROC curve of a test set, by default as the public DeepLesion evaluator.

    Predictions of all images are taken by falling score. One that overlaps a lesion enough finds
    it; one that overlaps none enough is a false positive; one that overlaps only lesions already
    found counts as neither. All images count in the average.

    Args:
        predictions: For each image `(n, 2 D + 1)`: box and score; x1, y1, x2, y2, score or x1, y1,
            z1, x2, y2, z2, score. An empty list stands for no prediction.
        ground_truth: For each image `(m, 2 D)` boxes of the lesions, same unit and order.
        threshold: Overlap from which a prediction finds a lesion, in (0, 1].
        overlap: `'iou'`, `'iobb'`, `'iogt'`, `'radius'` or `'centre'`, see
            `mmglan.detections.box_overlaps.box_pairs`.
        dims: D, 2 or 3.
        duplicates: `'ignore'` or `'fp'`, see `mmglan.evaluation.matching.match`.
        inclusive: Boxes end at the last voxel inside (side = x2 - x1 + 1).
        assignment: `'every'`, `'greedy'` or `'optimal'`, see `mmglan.evaluation.matching.match`.
        ignore: For each image `(r, 2 D)` boxes of findings to ignore: a prediction on one that
            finds no lesion is no false positive.
        ignore_overlap: When it is on one: an overlap of this kind of at least `threshold`; by
            default the share of the prediction inside the box, as in COCO.

    Returns:
        FROCCurve: The curve.

    Raises:
        ValueError: The lists differ in length, or an array has a wrong shape, a value that is not
            finite, or a box whose corners are swapped; the message names the image.

    Examples:
        Two images, one lesion each. Image 0: found at 0.9, found again at 0.8. Image 1: a false
        positive at 0.7, found at 0.6.

        >>> lesion = [[0, 0, 10, 10]]
        >>> first = [[0, 0, 10, 10, 0.9], [0, 0, 10, 9, 0.8]]
        >>> second = [[50, 50, 60, 60, 0.7], [0, 0, 10, 8, 0.6]]
        >>> curve = froc([first, second], [lesion, lesion], threshold=0.5)
        >>> curve.fp.tolist(), curve.sensitivity.tolist()
        ([0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 0.5, 1.0])
        >>> curve.at(0.25), curve.at(0.5), curve.threshold_at(0.25)
        (0.5, 1.0, 0.8)
    """
    boxes, scores, image = flatten_predictions(predictions, dims)
    gt, counts = flatten_gt(ground_truth, dims)
    if len(predictions) != len(ground_truth):
        raise ValueError(
            "Expected predictions and ground truth of the same images "
            f"but got {len(predictions)} and {len(ground_truth)}"
        )
    pairs = box_pairs(boxes, image, gt, counts, kind=overlap, inclusive=inclusive)
    on_ignored = None
    if ignore is not None:
        regions, region_counts = flatten_gt(ignore, dims, "ignore")
        if len(region_counts) != len(counts):
            raise ValueError(
                "Expected findings to ignore of the same images as the ground truth "
                f"but got {len(region_counts)} and {len(counts)}"
            )
        on_ignored = shares_on_regions(
            boxes, image, regions, region_counts, kind=ignore_overlap, inclusive=inclusive
        )
    matches = match(
        pairs,
        scores,
        len(gt),
        threshold=threshold,
        assignment=assignment,
        duplicates=duplicates,
        on_ignored=on_ignored,
    )
    return curve_of(matches, scores, len(ground_truth), len(gt))


def froc_by_protocol(
    predictions: Sequence[np.ndarray],
    ground_truth: Sequence[np.ndarray],
    protocol: str | Protocol,
    *,
    dims: int = 2,
    inclusive: bool = False,
    ignore: Sequence[np.ndarray] | None = None,
) -> dict[Criterion, FROCCurve]:
    """Compute the FROC curves of a preset, one for each criterion; otherwise as `froc`.

    Boxes are taken as they are: for `luna` give them in mm, a point as a box without size.
    Predictions on findings to `ignore` are told by the protocol's own rule.
    """
    protocol = get_protocol(protocol)
    return {
        criterion: froc(
            predictions,
            ground_truth,
            threshold=criterion.threshold,
            overlap=criterion.overlap,
            dims=dims,
            duplicates=protocol.duplicates,
            inclusive=inclusive,
            assignment=protocol.assignment,
            ignore=ignore,
            ignore_overlap=protocol.ignore_overlap(dims),
        )
        for criterion in protocol.criteria(dims)
    }


def curve_of(matches: Matches, scores: np.ndarray, n_images: int, n_lesions: int) -> FROCCurve:
    """Compute the FROC curve of matches; `scores` `(N,)` in the order that was matched."""
    by_score = scores[matches.order]
    ends: np.ndarray | list[int] = []
    if len(scores):
        ends = np.flatnonzero(np.append(by_score[1:] != by_score[:-1], True))
    fp = np.cumsum(matches.false_positive[matches.order])[ends] / max(n_images, 1)
    hits = np.cumsum(matches.hits[matches.order])[ends]
    sensitivity = hits / n_lesions if n_lesions else np.full(len(hits), np.nan)
    return FROCCurve(fp, sensitivity, by_score[ends], n_images, n_lesions)


def flatten_predictions(
    predictions: Sequence[np.ndarray], dims: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concatenate and check predictions: `(N, 2 D)` boxes, `(N,)` scores, `(N,)` image."""
    rows, counts = _concatenate(predictions, 2 * dims + 1, "predictions")
    image = np.repeat(np.arange(len(counts)), counts)
    _check_boxes(rows[:, : 2 * dims], image, "predictions")
    return rows[:, : 2 * dims], rows[:, 2 * dims].copy(), image


def flatten_gt(
    ground_truth: Sequence[np.ndarray], dims: int, name: str = "ground_truth"
) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate and check ground-truth boxes: `(M, 2 D)` boxes, `(I,)` number per image."""
    rows, counts = _concatenate(ground_truth, 2 * dims, name)
    _check_boxes(rows, np.repeat(np.arange(len(counts)), counts), name)
    return rows, counts


def _concatenate(arrays, width, name):
    if width not in (4, 5, 6, 7):
        raise ValueError(f"Expected dims to be 2 or 3 but got {width // 2}")
    parts = []
    for index, array in enumerate(arrays):
        part = np.asarray(array, dtype=np.float64)
        if part.size == 0:
            part = part.reshape(0, width)
        if part.ndim != 2 or part.shape[1] != width:
            raise ValueError(
                f"{name}[{index}]: Expected an array of shape (n, {width}) but got {part.shape}"
            )
        parts.append(part)
    counts = np.array([len(part) for part in parts], dtype=np.int64)
    rows = np.concatenate(parts) if parts else np.zeros((0, width))
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        index = int(np.searchsorted(np.cumsum(counts), bad[0], side="right"))
        raise ValueError(f"{name}[{index}]: Expected finite numbers but got {rows[bad[0]]}")
    return rows, counts


def _check_boxes(boxes, image, name):
    dims = boxes.shape[1] // 2
    bad = np.flatnonzero((boxes[:, dims:] < boxes[:, :dims]).any(axis=1))
    if len(bad):
        raise ValueError(
            f"{name}[{image[bad[0]]}]: Expected upper corners above the lower ones "
            f"but got {boxes[bad[0]].tolist()}; boxes are corners, not corner and size"
        )
