"""Average precision, computed by pycocotools on overlaps of any kind.

Letters: T thresholds, R = 101 recall steps, A size strata, I images, K predictions that count.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, replace

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmglan.detections.box_overlaps import Pairs
from mmglan.evaluation.detection_set import DetectionSet

AP_THRESHOLDS = (0.1, 0.25, 0.5)
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10))
# As decimals, not by linspace: 0.1 + 4 * 0.05 is above 3 / 10.
MRECALL_PRECISIONS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Predictions in COCO's order with COCO's verdict, at one threshold in one stratum.

    Attributes:
        image: `(K,)` image of each prediction, by falling score.
        hit: `(K,)` bool, true positives; all others are false positives.
        gt_image: `(M',)` image of each lesion of the stratum.
        ap: COCO's 101-point average precision, NaN without lesions.
    """

    image: np.ndarray
    hit: np.ndarray
    gt_image: np.ndarray
    ap: float

    def mean_recall(self, precisions=MRECALL_PRECISIONS) -> float:
        """Return the mean over precisions of the highest recall with this precision (0 if none)."""
        if not len(self.gt_image):
            return float("nan")
        hits = np.cumsum(self.hit)
        precision = hits / np.arange(1, len(hits) + 1)
        recalls = [hits[precision >= wanted].max(initial=0) for wanted in precisions]
        return float(np.mean(recalls) / len(self.gt_image))


class _OverlapEval(COCOeval):
    """COCOeval that takes its overlaps from outside, so that volumes work as images do.

    Its matching is a Python loop over predictions and lesions. Predictions that overlap no lesion
    enough for any threshold can not match: they are kept out of that loop and put back, unmatched.
    """

    def __init__(self, gt, results, matrices, shares):
        super().__init__(gt, results, "bbox")
        self._matrices, self._shares = matrices, shares
        self._found: dict[int, tuple[np.ndarray, ...]] = {}

    def computeIoU(self, imgId, catId):
        results = self._dts[imgId, catId]
        scores = np.array([result["score"] for result in results])
        order = np.argsort(-scores, kind="mergesort")
        matrix = self._matrices[imgId - 1][order]
        enough = (matrix >= min(self.params.iouThrs)).any(axis=1)
        shares = self._shares[[result["id"] - 1 for result in results]][order]
        self._found[imgId] = scores[order], enough, shares
        self._dts[imgId, catId] = [results[index] for index in order[enough]]
        return matrix[enough] if enough.any() else []

    def evaluateImg(self, imgId, catId, aRng, maxDet):
        scores, enough, shares = self._found[imgId]
        part = super().evaluateImg(imgId, catId, aRng, maxDet)
        if part is None and len(scores):
            part = {"image_id": imgId, "gtIgnore": np.zeros(0), "dtMatches": 0, "dtIgnore": 0}
        if part is not None:
            for name in ("dtMatches", "dtIgnore"):
                whole = np.zeros((len(self.params.iouThrs), len(scores)))
                whole[:, enough] = part[name]
                part[name] = whole
            # What COCO does with predictions on a crowd region.
            on_region = shares >= np.asarray(self.params.iouThrs)[:, None]
            part["dtIgnore"] = (part["dtIgnore"] > 0) | ((part["dtMatches"] == 0) & on_region)
            part["dtScores"] = scores
        return part


def precision_recall(
    detections: DetectionSet,
    thresholds: tuple[float, ...] = AP_THRESHOLDS,
    *,
    strata_mm: tuple[tuple[float, float], ...] = (),
    max_detections: int = 100,
) -> dict[tuple[float, int], PrecisionRecall]:
    """Run COCOeval.

    Args:
        detections: Predictions and lesions; IoU is taken from them.
        thresholds: IoU thresholds.
        strata_mm: `(A,)` ranges [low, high) of the short axis in mm. Lesions outside a range are
            ignored, as COCO ignores those outside an area range; predictions of every size count.
        max_detections: Predictions with the highest scores that count per image, COCO's 100.

    Returns:
        dict: By (threshold, 0) for all lesions, and by (threshold, 1 + a) for stratum a.
    """
    detections = _most_certain(detections, max_detections)
    known = np.where(np.isnan(detections.short_axis_mm), -1.0, detections.short_axis_mm)
    gt_boxes = [
        _record(number, image, area=area)
        for number, (image, area) in enumerate(zip(detections.gt_image, known, strict=True), 1)
    ]
    # NaN is outside no range: an unmatched prediction counts in every stratum.
    results = [
        _record(number, image, area=float("nan"), score=score)
        for number, (image, score) in enumerate(
            zip(detections.pred_image, detections.scores, strict=True), 1
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = _OverlapEval(
            _index(gt_boxes, detections.n_images),
            _index(results, detections.n_images),
            detections.iou_matrices(),
            _shares(detections),
        )
        evaluator.params.iouThrs = np.array(thresholds)
        evaluator.params.maxDets = [max_detections]
        evaluator.params.areaRng = [[-2.0, 1e10]] + [
            [low, float(np.nextafter(high, low))] for low, high in strata_mm
        ]
        evaluator.params.areaRngLbl = [str(index) for index in range(1 + len(strata_mm))]
        evaluator.evaluate()
        evaluator.accumulate()
    precision = evaluator.eval["precision"][:, :, 0, :, 0]
    verdicts = {}
    for area in range(1 + len(strata_mm)):
        parts = evaluator.evalImgs[area * detections.n_images : (area + 1) * detections.n_images]
        for index, threshold in enumerate(thresholds):
            found = precision[index, :, area]
            ap = float(found.mean()) if len(found) and found.min() >= 0 else float("nan")
            verdicts[threshold, area] = _verdict(parts, index, ap)
    return verdicts


def _most_certain(detections: DetectionSet, count: int) -> DetectionSet:
    """Keep the `count` predictions of highest score per image; of equal scores the first."""
    order = np.lexsort((-detections.scores, detections.pred_image))
    per_image = np.bincount(detections.pred_image, minlength=detections.n_images)
    first = np.cumsum(per_image) - per_image
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - first[detections.pred_image[order]]
    keep = rank < count
    pairs = detections.overlaps["iou"]
    kept = keep[pairs.pred]
    number = np.cumsum(keep) - 1
    return replace(
        detections,
        scores=detections.scores[keep],
        pred_image=detections.pred_image[keep],
        on_ignored=_shares(detections)[keep],
        overlaps={"iou": Pairs(number[pairs.pred[kept]], pairs.gt[kept], pairs.overlap[kept])},
    )


def _shares(detections: DetectionSet) -> np.ndarray:
    """Share of each prediction inside a region to ignore, `(N,)`."""
    if detections.on_ignored is None:
        return np.zeros(len(detections.scores))
    return detections.on_ignored


def _record(number, image, **more):
    return {
        "id": number,
        "image_id": int(image) + 1,
        "category_id": 1,
        "bbox": [0, 0, 1, 1],
        "iscrowd": 0,
        **more,
    }


def _index(annotations, n_images):
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(1, n_images + 1)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "lesion"}],
    }
    coco.createIndex()
    return coco


def _verdict(parts, index, ap):
    """Collect COCO's matches of one threshold and put them in COCO's order."""
    parts = [part for part in parts if part is not None]
    if not parts:
        none = np.zeros(0, dtype=int)
        return PrecisionRecall(none, none.astype(bool), none, ap)
    scores = np.concatenate([part["dtScores"] for part in parts])
    order = np.argsort(-scores, kind="mergesort")
    matched = np.concatenate([part["dtMatches"][index] for part in parts])[order] > 0
    counts = ~np.concatenate([part["dtIgnore"][index] for part in parts]).astype(bool)[order]
    image = np.repeat(
        [part["image_id"] - 1 for part in parts], [len(part["dtScores"]) for part in parts]
    )[order]
    gt_image = np.repeat(
        [part["image_id"] - 1 for part in parts],
        [int(np.sum(np.asarray(part["gtIgnore"]) == 0)) for part in parts],
    )
    return PrecisionRecall(image[counts], matched[counts], gt_image, ap)
