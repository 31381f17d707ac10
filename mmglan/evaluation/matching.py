"""The one matcher: which prediction finds which lesion, and which finds nothing.

Letters: N predictions, M lesions.

Predictions are taken by falling score, equal scores in the order given. What a prediction may
take, and what happens to one that overlaps only lesions already found, are the two choices in
which the published protocols differ; everything else is shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmglan.detections.box_overlaps import Pairs

ASSIGNMENTS = ("every", "greedy", "optimal")
DUPLICATES = ("ignore", "fp")


@dataclass(frozen=True)
class Matches:
    """Outcome of matching one test set at one threshold.

    Attributes:
        order: `(N,)` predictions by falling score, equal scores in the order given.
        hits: `(N,)` lesions that each prediction finds first.
        false_positive: `(N,)` bool; a prediction with no hit that is not a false positive either
            is ignored: a duplicate, or on a region to ignore.
        found_by: `(M,)` the prediction that finds each lesion, -1 where none does.
    """

    order: np.ndarray
    hits: np.ndarray
    false_positive: np.ndarray
    found_by: np.ndarray


def match(
    pairs: Pairs,
    scores: np.ndarray,
    n_gt: int,
    *,
    threshold: float,
    assignment: str = "every",
    duplicates: str = "ignore",
    on_ignored: np.ndarray | None = None,
) -> Matches:
    """Match predictions to lesions.

    Args:
        pairs: Overlapping pairs of the whole test set.
        scores: `(N,)` confidence of the predictions.
        n_gt: M, number of lesions.
        threshold: A pair counts when its overlap is at least this, in (0, 1].
        assignment: `'every'`: a prediction finds every lesion that it overlaps enough (DeepLesion,
            LUNA16). `'greedy'`: it finds one, the free lesion it overlaps most. `'optimal'`: one
            to one per image with the greatest sum of 1 + overlap, whatever the scores (PI-CAI):
            a further match outweighs a better overlap.
        duplicates: A prediction that overlaps enough only lesions found by others is ignored
            (`'ignore'`) or a false positive (`'fp'`).
        on_ignored: `(N,)` share of each prediction inside a region to ignore. One that finds no
            lesion is no false positive if its share is at least the threshold, as in COCO.

    Returns:
        Matches: Hits, false positives and finders.

    Raises:
        ValueError: Threshold outside (0, 1] or an unknown option.

    Examples:
        Two lesions, three predictions. The best one covers both lesions, the second repeats
        lesion 0, the third touches nothing.

        >>> import numpy as np
        >>> from mmglan.detections.box_overlaps import Pairs
        >>> pairs = Pairs(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.4, 0.3, 0.9]))
        >>> scores = np.array([0.9, 0.8, 0.7])
        >>> every = match(pairs, scores, 2, threshold=0.25)
        >>> every.hits.tolist(), every.false_positive.tolist()
        ([2, 0, 0], [False, False, True])
        >>> match(pairs, scores, 2, threshold=0.25, duplicates='fp').false_positive.tolist()
        [False, True, True]
        >>> match(pairs, scores, 2, threshold=0.25, assignment='greedy').found_by.tolist()
        [0, -1]
        >>> match(pairs, scores, 2, threshold=0.25, assignment='optimal').found_by.tolist()
        [1, 0]
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"Expected a threshold above 0 and at most 1 but got {threshold}")
    if assignment not in ASSIGNMENTS:
        raise ValueError(
            f"Expected assignment to be one of {', '.join(ASSIGNMENTS)} but got {assignment!r}"
        )
    if duplicates not in DUPLICATES:
        raise ValueError(
            f"Expected duplicates to be one of {', '.join(DUPLICATES)} but got {duplicates!r}"
        )
    n_pred = len(scores)
    order = np.argsort(-scores, kind="stable")
    enough = np.flatnonzero(pairs.overlap >= threshold)
    pred, gt = pairs.pred[enough], pairs.gt[enough]
    if assignment == "every":
        found_by = _first_by_rank(pred, gt, order, n_gt)
    elif assignment == "greedy":
        # By rank, then falling overlap, then the order of the lesions.
        by = np.lexsort((gt, -pairs.overlap[enough], _ranks(order)[pred]))
        found_by = greedy(pred[by], gt[by], n_gt)
    else:
        found_by = _optimal(pred, gt, pairs.overlap[enough], n_gt)
    hits = np.bincount(found_by[found_by >= 0], minlength=n_pred)
    if duplicates == "fp":
        false_positive = hits == 0
    else:
        false_positive = np.ones(n_pred, dtype=bool)
        false_positive[pred] = False
    if on_ignored is not None:
        false_positive &= on_ignored < threshold
    return Matches(order, hits, false_positive, found_by)


def _ranks(order):
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _first_by_rank(pred, gt, order, n_gt):
    best = np.full(n_gt, len(order), dtype=np.int64)
    np.minimum.at(best, gt, _ranks(order)[pred])
    found = np.full(n_gt, -1, dtype=np.int64)
    reached = best < len(order)
    found[reached] = order[best[reached]]
    return found


def greedy(pred: np.ndarray, gt: np.ndarray, n_gt: int) -> np.ndarray:
    """Give each prediction the first of its lesions that is free.

    Args:
        pred: `(K,)` prediction of each pair, pairs of one prediction one after the other.
        gt: `(K,)` lesion of each pair.
        n_gt: M.

    Returns:
        np.ndarray: `(M,)` the prediction that finds each lesion, -1 where none does.
    """
    found = [-1] * n_gt
    taken = -1
    for one, lesion in zip(pred.tolist(), gt.tolist(), strict=True):
        if one != taken and found[lesion] < 0:
            found[lesion] = taken = one
    return np.array(found, dtype=np.int64)


def _optimal(pred, gt, overlap, n_gt):
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    found = np.full(n_gt, -1, dtype=np.int64)
    if not len(pred):
        return found
    # Pairs of different images are never connected, so a component is a small problem of its own.
    preds, rows = np.unique(pred, return_inverse=True)
    lesions, columns = np.unique(gt, return_inverse=True)
    size = len(preds) + len(lesions)
    graph = coo_matrix((np.ones(len(pred)), (rows, columns + len(preds))), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][rows]
    by_label = np.argsort(labels, kind="stable")
    for members in np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1):
        some_preds, row = np.unique(pred[members], return_inverse=True)
        some_gts, column = np.unique(gt[members], return_inverse=True)
        weight = np.zeros((len(some_preds), len(some_gts)))
        weight[row, column] = 1 + overlap[members]  # a match counts more than its overlap
        for one, other in zip(*linear_sum_assignment(weight, maximize=True), strict=True):
            if weight[one, other] > 0:
                found[some_gts[other]] = some_preds[one]
    return found
