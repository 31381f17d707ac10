"""AP against pycocotools' own path from files, and mean recall by hand."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmglan.detections.coco_files import group_results, read_ground_truth
from mmglan.evaluation.average_precision import (
    AP_THRESHOLDS,
    COCO_THRESHOLDS,
    PrecisionRecall,
    precision_recall,
)
from mmglan.evaluation.detection_set_2d import detection_set_of_images


def coco_ap(ann, results, kind, thresholds, area=None):
    """AP as anyone would compute it with pycocotools, from the two files."""
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(ann))
        evaluator = COCOeval(gt, gt.loadRes(str(results)), kind)
        evaluator.params.iouThrs = np.array(thresholds)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval["precision"][:, :, 0, 0, -1].mean(axis=1)


def our_cases(ann, results, kind):
    gt = read_ground_truth(ann)
    return detection_set_of_images(gt, group_results(json.loads(results.read_text()), gt), kind)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("tied", [False, True])
def test_equals_cocoeval(coco_set, kind, tied):
    thresholds = (*AP_THRESHOLDS, *COCO_THRESHOLDS[1:])
    for seed in range(3):
        ann, boxes, masks = coco_set(seed, tied=tied)
        results = boxes if kind == "bbox" else masks
        verdicts = precision_recall(our_cases(ann, results, kind), thresholds)
        ours = [verdicts[threshold, 0].ap for threshold in thresholds]
        theirs = coco_ap(ann, results, kind, thresholds)
        assert np.abs(np.array(ours) - theirs).max() < 1e-9
        assert 0 < theirs[2] < theirs[0] < 1


def test_more_predictions_than_count(coco_set):
    ann, boxes, _ = coco_set(4)
    rows = json.loads(boxes.read_text())
    crowded = [row | {"score": row["score"] * (1 - k / 60)} for k in range(60) for row in rows]
    boxes.write_text(json.dumps(crowded))
    ours = precision_recall(our_cases(ann, boxes, "bbox"))[0.25, 0].ap
    assert abs(ours - coco_ap(ann, boxes, "bbox", [0.25])[0]) < 1e-9


def test_strata_are_cocos_area_ranges(coco_set):
    """A stratum by short axis equals COCO's area range when the area holds the short axis."""
    ann, boxes, _ = coco_set(7, n_images=40)
    data = json.loads(ann.read_text())
    ranges = ((0.0, 10.0), (10.0, 20.0), (20.0, 1e9))
    verdicts = precision_recall(our_cases(ann, boxes, "bbox"), (0.25,), strata_mm=ranges)
    for lesion in data["annotations"]:
        lesion["area"] = lesion["short_axis_mm"]
    ann.write_text(json.dumps(data))
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(ann))
        found = gt.loadRes(str(boxes))
        for result in found.anns.values():
            result["area"] = float("nan")
        evaluator = COCOeval(gt, found, "bbox")
        evaluator.params.iouThrs = np.array([0.25])
        evaluator.params.areaRng = [[low, np.nextafter(high, low)] for low, high in ranges]
        evaluator.params.areaRngLbl = ["a", "b", "c"]
        evaluator.evaluate()
        evaluator.accumulate()
    theirs = evaluator.eval["precision"][0, :, 0, :, -1].mean(axis=0)
    ours = [verdicts[0.25, 1 + number].ap for number in range(3)]
    assert np.abs(np.array(ours) - theirs).max() < 1e-9


def test_nothing_on_either_side(coco_set):
    ann, boxes, _ = coco_set(0)
    data = json.loads(ann.read_text())
    boxes.write_text("[]")
    silent = precision_recall(our_cases(ann, boxes, "bbox"))[0.25, 0]
    assert silent.ap == 0 and silent.mean_recall() == 0
    ann.write_text(json.dumps(data | {"annotations": []}))
    nothing = precision_recall(our_cases(ann, boxes, "bbox"))[0.25, 0]
    assert np.isnan(nothing.ap) and np.isnan(nothing.mean_recall())
    ann.write_text(json.dumps({"images": [], "annotations": []}))
    assert np.isnan(precision_recall(our_cases(ann, boxes, "bbox"))[0.25, 0].ap)


def test_mean_recall_by_hand():
    """Hits at ranks 1 and 4 of 10, four lesions: precision 1, then 1/2; at the end 2/10.

    Recall 2/4 is kept down to precision 0.5 (rank 4: 2/4), so at all nine precisions.
    """
    hit = np.zeros(10, dtype=bool)
    hit[[0, 3]] = True
    verdict = PrecisionRecall(np.zeros(10, int), hit, np.zeros(4, int), 0.0)
    assert verdict.mean_recall() == pytest.approx(0.5)
    # Hits at ranks 5 and 20: precision 0.2 and 0.1. Recall 1/2 at 0.10, 1/4 at 0.15 and 0.20.
    hit = np.zeros(20, dtype=bool)
    hit[[4, 19]] = True
    verdict = PrecisionRecall(np.zeros(20, int), hit, np.zeros(4, int), 0.0)
    assert verdict.mean_recall() == pytest.approx((0.5 + 0.25 + 0.25) / 9)
    # 3 of 10 is a precision of exactly 0.30.
    hit = np.zeros(10, dtype=bool)
    hit[7:] = True
    verdict = PrecisionRecall(np.zeros(10, int), hit, np.zeros(3, int), 0.0)
    assert verdict.mean_recall() == pytest.approx(5 / 9)
