"""AP against pycocotools' own path from files, and mean recall by hand."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.evaluation.average_precision import (
    AP_THRESHOLDS,
    COCO_THRESHOLDS,
    Ranking,
    Verdict,
    coco_ranking,
)
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.resampling.resampled_curves import WeightedPrecision


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


def precision(detections, ranking):
    """(AP, mean recall) of each verdict, every patient once."""
    values = WeightedPrecision(detections, ranking).values(np.ones((detections.n_patients, 1)))
    return dict(zip(ranking.verdicts, values[:, :, 0].tolist(), strict=True))


def our_ap(ann, results, kind, thresholds, **options):
    detections = our_cases(ann, results, kind)
    found = precision(detections, coco_ranking(detections, thresholds, **options))
    return [ap for ap, _ in found.values()]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("tied", [False, True])
def test_equals_cocoeval(coco_set, kind, tied):
    thresholds = (*AP_THRESHOLDS, *COCO_THRESHOLDS[1:])
    for seed in range(3):
        ann, boxes, masks = coco_set(seed, tied=tied)
        results = boxes if kind == "bbox" else masks
        ours = our_ap(ann, results, kind, thresholds)
        theirs = coco_ap(ann, results, kind, thresholds)
        assert np.abs(np.array(ours) - theirs).max() < 1e-9
        assert 0 < theirs[2] < theirs[0] < 1


def test_more_predictions_than_count(coco_set):
    ann, boxes, _ = coco_set(4)
    rows = json.loads(boxes.read_text())
    crowded = [row | {"score": row["score"] * (1 - k / 60)} for k in range(60) for row in rows]
    boxes.write_text(json.dumps(crowded))
    (ours,) = our_ap(ann, boxes, "bbox", (0.25,))
    assert abs(ours - coco_ap(ann, boxes, "bbox", [0.25])[0]) < 1e-9


def test_strata_are_cocos_area_ranges(coco_set):
    """A stratum by short axis equals COCO's area range when the area holds the short axis."""
    ann, boxes, _ = coco_set(7, n_images=40)
    data = json.loads(ann.read_text())
    ranges = ((0.0, 10.0), (10.0, 20.0), (20.0, 1e9))
    sizes = our_cases(ann, boxes, "bbox").short_axis_mm
    members = {str(low): (sizes >= low) & (sizes < high) for low, high in ranges}
    _, *ours = our_ap(ann, boxes, "bbox", (0.25,), members=members)
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
    assert np.abs(np.array(ours) - theirs).max() < 1e-9


def test_nothing_on_either_side(coco_set):
    ann, boxes, _ = coco_set(0)
    data = json.loads(ann.read_text())
    boxes.write_text("[]")
    for content, expected in (
        (data, 0.0),
        (data | {"annotations": []}, np.nan),
        ({"images": [], "annotations": []}, np.nan),
    ):
        ann.write_text(json.dumps(content))
        detections = our_cases(ann, boxes, "bbox")
        found = precision(detections, coco_ranking(detections, (0.25,)))[0.25, None]
        assert found == pytest.approx([expected] * 2, nan_ok=True)


@pytest.mark.parametrize(
    ("hits", "lesions", "expected"),
    [
        # Ranks 1 and 4 of four lesions: precision 1, then 1/2; recall 2/4 at all nine precisions.
        ([0, 3], 4, 0.5),
        # Ranks 5 and 20: precision 0.2 and 0.1. Recall 1/2 at 0.10, 1/4 at 0.15 and 0.20.
        ([4, 19], 4, (0.5 + 0.25 + 0.25) / 9),
        # 3 of 10 is a precision of exactly 0.30.
        ([7, 8, 9], 3, 5 / 9),
    ],
)
def test_mean_recall_by_hand(hits, lesions, expected):
    none = np.zeros(0, int)
    image = np.zeros(20, int)
    one = np.zeros(1, int)
    detections = DetectionSet("bbox", 2, one, np.ones(20), image, none, {}, none)
    verdict = Verdict(np.array(hits), none, np.zeros(lesions, int))
    found = precision(detections, Ranking(image, {(0.25, None): verdict}))
    assert found[0.25, None][1] == pytest.approx(expected)
