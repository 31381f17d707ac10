"""COCO's matches for average precision, on overlaps of any kind.

Letters: K predictions that count at most, I images, M lesions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.matching import greedy

AP_THRESHOLDS = (0.1, 0.25, 0.5)
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
# COCO's.
MAX_DETECTIONS = 100


@dataclass(frozen=True, eq=False)
class Verdict:
    """What COCO makes of the predictions at one threshold, for some of the lesions.

    Attributes:
        hits: Rising places of the true positives among the predictions.
        ignored: Rising places of those that count neither way; all others are false positives.
        gt_image: `(M',)` image of each lesion that counts.
    """

    hits: np.ndarray
    ignored: np.ndarray
    gt_image: np.ndarray


@dataclass(frozen=True, eq=False)
class Ranking:
    """Predictions in COCO's order: by falling score, equal scores by image.

    Attributes:
        image: `(K,)` image of each prediction.
        verdicts: By (threshold, name of the lesions).
    """

    image: np.ndarray
    verdicts: dict[tuple[float, str | None], Verdict]


def coco_ranking(
    detections: DetectionSet,
    thresholds: tuple[float, ...],
    members: dict[str, np.ndarray] | None = None,
    max_detections: int = MAX_DETECTIONS,
) -> Ranking:
    """Match as COCO does: each prediction the free lesion that it overlaps most.

    Args:
        detections: Predictions and lesions; IoU is taken from them.
        thresholds: IoU thresholds of the verdicts on all lesions and on subsets.
        members: By name `(M,)` bool, subsets of the lesions. Lesions outside of a subset are
            ignored, as COCO ignores those outside of an area range; predictions of every size
            count.
        max_detections: Predictions with the highest scores that count per image.

    Returns:
        Ranking: Verdicts under the name None for all lesions, and under each subset's.
    """
    order = np.argsort(-detections.scores, kind="stable")
    order = order[_rank_in_image(detections.pred_image[order]) < max_detections]
    rank = np.full(len(detections.scores), -1)
    rank[order] = np.arange(len(order))
    pairs = detections.overlaps["iou"]
    kept = (rank[pairs.pred] >= 0) & (pairs.overlap >= min(*thresholds, 1 - 1e-10))
    pred, gt, overlap = rank[pairs.pred[kept]], pairs.gt[kept], pairs.overlap[kept]
    everything = np.ones(detections.n_lesions, dtype=bool)
    verdicts = {}
    for name, inside in {None: everything, **(members or {})}.items():
        # By prediction; lesions that count first, then by overlap, of equal ones the last.
        by = np.lexsort((-gt, -overlap, ~inside[gt], pred))
        for threshold in thresholds:
            enough = by[overlap[by] >= min(threshold, 1 - 1e-10)]
            found_by = greedy(pred[enough], gt[enough], detections.n_lesions)
            ignored = np.zeros(len(order), dtype=bool)
            if detections.on_ignored is not None:
                ignored = detections.on_ignored[order] >= threshold
                ignored[found_by[found_by >= 0]] = False
            ignored[found_by[~inside & (found_by >= 0)]] = True
            verdicts[threshold, name] = Verdict(
                hits=np.sort(found_by[inside & (found_by >= 0)]),
                ignored=np.flatnonzero(ignored),
                gt_image=detections.gt_image[inside],
            )
    return Ranking(detections.pred_image[order], verdicts)


def _rank_in_image(image: np.ndarray) -> np.ndarray:
    """Count for each prediction those of its image before it."""
    by_image = np.argsort(image, kind="stable")
    counts = np.bincount(image)
    rank = np.empty(len(image), dtype=np.int64)
    rank[by_image] = np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank
