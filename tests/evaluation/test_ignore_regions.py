"""Regions to ignore (`iscrowd`): neither lesion nor background, as in pycocotools."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmglan.api import evaluate
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.evaluation.average_precision import coco_ranking
from mmglan.evaluation.detection_sets.detection_set import pooled
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.protocols import get_protocol

PROTOCOL = get_protocol("deeplesion")


def content(annotations, n_images=1):
    return {
        "images": [{"id": i, "width": 100, "height": 100} for i in range(1, n_images + 1)],
        "annotations": [
            {"id": k, "category_id": 1, "area": a["bbox"][2] * a["bbox"][3], "iscrowd": 0} | a
            for k, a in enumerate(annotations, 1)
        ],
        "categories": [{"id": 1, "name": "lesion"}],
    }


def set_of(annotations, results, n_images=1):
    gt = read_ground_truth(content(annotations, n_images))
    return detection_set_of_images(gt, group_results(results, gt), "bbox", PROTOCOL)


def box(*bbox, image_id=1, **more):
    return {"image_id": image_id, "bbox": list(bbox), **more}


REGION = box(50, 50, 40, 40)


@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_a_detection_on_a_region_is_no_false_positive(flag):
    lesion = box(0, 0, 10, 10)
    results = [
        box(0, 0, 10, 10, score=0.9),
        box(60, 60, 10, 10, score=0.8),
        box(70, 70, 10, 10, score=0.7),
        box(20, 20, 10, 10, score=0.6),
    ]
    found = set_of([lesion, REGION | {flag: 1}], results)
    assert found.n_lesions == 1
    matches = found.match(PROTOCOL.criteria_2d[0], PROTOCOL)
    assert matches.hits.tolist() == [1, 0, 0, 0]
    assert matches.false_positive.tolist() == [False, False, False, True]
    (one,) = coco_ranking(found, (0.5,)).verdicts.values()
    assert (one.hits.tolist(), one.ignored.tolist()) == ([0], [1, 2])
    evaluation = evaluate_detections([found])
    assert evaluation["bbox_AP50"].value == pytest.approx(1)


def test_half_of_the_detection_must_lie_inside():
    # 4 of 10 columns, then 5 of 10 columns of the detection lie in the region.
    for left, counts in ((44, True), (45, False)):
        found = set_of([REGION | {"iscrowd": 1}], [box(left, 60, 10, 10, score=0.9)])
        matches = found.match(type(PROTOCOL.criteria_2d[0])("iou", 0.5), PROTOCOL)
        assert matches.false_positive.tolist() == [counts]


def test_a_lesion_inside_a_region_is_found():
    found = set_of([REGION | {"iscrowd": 1}, box(60, 60, 10, 10)], [box(60, 60, 10, 10, score=1)])
    assert found.match(PROTOCOL.criteria_2d[0], PROTOCOL).hits.tolist() == [1]


def test_average_precision_is_that_of_pycocotools():
    rng = np.random.default_rng(5)
    for _ in range(20):
        annotations, results = [], []
        for image_id in range(1, 9):
            for _ in range(rng.integers(0, 5)):
                corner = rng.integers(0, 60, 2).tolist()
                size = rng.integers(8, 30, 2).tolist()
                crowd = int(rng.random() < 0.4)
                annotations.append(box(*corner, *size, image_id=image_id, iscrowd=crowd))
                for _ in range(2):
                    moved = (np.array([*corner, *size]) + rng.integers(-5, 5, 4)).tolist()
                    score = round(float(rng.random()), 3)
                    results.append(box(*moved, image_id=image_id, score=score, category_id=1))
        data = content(annotations, 8)
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO()
            coco.dataset = data
            coco.createIndex()
            run = COCOeval(coco, coco.loadRes([dict(r) for r in results]), "bbox")
            run.params.iouThrs = np.array([0.25, 0.5])
            run.evaluate()
            run.accumulate()
        theirs = run.eval["precision"][:, :, 0, 0, 2].mean(axis=1)
        ours = evaluate_detections([set_of(annotations, results, 8)])
        found = [ours[name].value for name in ("bbox_AP25", "bbox_AP50")]
        assert found == pytest.approx(theirs, abs=1e-12)


def test_regions_of_masks():
    from pycocotools import mask as rle

    pixels = np.zeros((100, 100), np.uint8, order="F")
    pixels[50:60, 50:60] = 1
    code = rle.encode(pixels)
    code["counts"] = code["counts"].decode()
    gt = read_ground_truth(content([REGION | {"iscrowd": 1, "segmentation": code}]))
    pixels[50:60, 50:60] = 0
    pixels[70:80, 70:80] = 1  # in the region's box, outside of its pixels
    other = rle.encode(pixels)
    other["counts"] = other["counts"].decode()
    results = [
        box(50, 50, 10, 10, score=0.9, segmentation=code),
        box(70, 70, 10, 10, score=0.8, segmentation=other),
    ]
    found = detection_set_of_images(gt, group_results(results, gt), "segm", PROTOCOL)
    assert found.on_ignored.tolist() == [1.0, 0.0]
    del gt.regions[0][0]["segmentation"]
    found = detection_set_of_images(gt, group_results(results, gt), "segm", PROTOCOL)
    assert found.on_ignored.tolist() == [1.0, 1.0]


def test_pooled_sets_keep_them():
    lesion, results = box(0, 0, 10, 10), [box(60, 60, 10, 10, score=0.8)]
    with_region = set_of([lesion, REGION | {"iscrowd": 1}], results)
    without = set_of([lesion], [box(60, 60, 10, 10, score=0.9)])
    assert pooled(with_region, without).on_ignored.tolist() == [1.0, 0.0]


def test_centre_rules_ignore_by_the_centre():
    # The region is 40 wide around (70, 70), pixels of 0.5 mm: radius 10 mm. Centres 9 mm, 11 mm.
    data = content([REGION | {"iscrowd": 1}])
    data["images"][0]["spacing_mm"] = [0.5, 0.5]
    gt = read_ground_truth(data)
    results = [box(48, 66, 8, 8, score=0.9), box(44, 66, 8, 8, score=0.8)]
    for name, expected in (("luna", [False, True]), ("centre-in-box", [False, True])):
        protocol = get_protocol(name)
        found = detection_set_of_images(gt, group_results(results, gt), "bbox", protocol)
        matches = found.match(protocol.criteria_2d[0], protocol)
        assert matches.false_positive.tolist() == expected


def test_lesions_to_ignore_in_volumes(tmp_path):
    path = tmp_path / "volumes.json"
    volume = {"volume_id": "v", "spacing_mm": [2, 2, 2]}
    lesions = [
        {"volume_id": "v", "box3d": [0, 0, 0, 9, 9, 9]},
        {"volume_id": "v", "box3d": [40, 0, 0, 49, 9, 9], "ignore": True},
    ]
    path.write_text(json.dumps({"volumes": [volume], "lesions": lesions}))
    # On the lesion; centre 4 voxels (8 of 10 mm) and 6 voxels (12 mm) from the one to ignore.
    found = [
        {"volume_id": "v", "box3d": [left, 0, 0, left + 9, 9, 9], "score": score}
        for left, score in ((0, 0.9), (44, 0.8), (46, 0.7))
    ]
    evaluation = evaluate(None, found, volumes=path, protocol="luna", bootstrap=0)
    assert evaluation.size.n_lesions == 1 and evaluation["bbox3d_SEN_radius"].value == 1
    assert evaluation.curves[0].fp[-1] == 1
    # By the share of the prediction: 6 and 4 of 10 columns are inside.
    evaluation = evaluate(None, found, volumes=path, bootstrap=0)
    by_threshold = {curve.criterion.label: curve.fp[-1] for curve in evaluation.curves}
    assert by_threshold == {"_IoBB30": 0, "25": 0, "50": 1}
    with pytest.raises(ValueError, match=r"volumes\.json: Expected no lesion with ignore where"):
        evaluate(None, found, volumes=path, gt_masks=tmp_path, bootstrap=0)
