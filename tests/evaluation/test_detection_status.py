"""Statuses of detections and lesions: by hand, and against the metric on limits of IoU."""

import json

import numpy as np
import pytest
from coco_sets import encode

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import Results, group_results, read_results
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.detection_status import Rule, check_counts, status_of_images
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.protocols import PROTOCOLS, Criterion, Protocol

NONE = Results.of_parts([])
BOX_25, BOX_50 = (Rule("bbox", Criterion("iou", one)) for one in (0.25, 0.5))


def _gt(boxes_by_image):
    images = [{"id": i, "file_name": f"{i}.png"} for i in boxes_by_image]
    annotations = [
        {"id": 10 * i + n, "image_id": i, "bbox": box, "iscrowd": 0}
        for i, boxes in boxes_by_image.items()
        for n, box in enumerate(boxes)
    ]
    return read_ground_truth({"images": images, "annotations": annotations})


def _status(gt, *rows, **options):
    results = [{"image_id": i, "bbox": box, "score": score} for i, box, score in rows]
    return status_of_images(gt, group_results(results, gt), **options).images


def test_statuses_and_scores_at_which_lesions_are_found():
    gt = _gt({2: [[0, 0, 10, 10]], 1: [[0, 0, 10, 10], [50, 50, 10, 10]], 3: []})
    one, two, three = _status(
        gt,
        (1, [0, 0, 10, 9], 0.8),  # IoU 0.9: again the first lesion, at 0.25; finds it at 0.5
        (1, [0, 0, 10, 4], 0.9),  # IoU 0.4 with the first lesion
        (2, [30, 30, 5, 5], 0.7),
        (3, [0, 0, 5, 5], 0.6),
    )
    assert [image.image["id"] for image in (one, two, three)] == [1, 2, 3]
    assert [found.score for found in one.detections] == [0.9, 0.8]
    assert [found.status for found in one.detections] == [
        {BOX_25: "tp", BOX_50: "fp"},
        {BOX_25: "duplicate", BOX_50: "tp"},
    ]
    assert [round(found.overlap, 6) for found in one.detections] == [0.4, 0.9]
    assert one.lesions[0].found_at == {BOX_25: 0.9, BOX_50: 0.8}
    assert one.lesions[1].found_at == {BOX_25: None, BOX_50: None}
    assert two.detections[0].status == {BOX_25: "fp", BOX_50: "fp"}
    assert two.detections[0].overlap == 0
    assert three.lesions == [] and three.detections[0].status[BOX_25] == "fp"


def test_duplicates_as_false_positives():
    rules = (Criterion("iou", 0.5),)
    protocol = Protocol("mine", rules, rules, duplicates="fp")
    rows = (1, [0, 0, 10, 10], 0.9), (1, [0, 0, 10, 9], 0.8)
    (found,) = _status(_gt({1: [[0, 0, 10, 10]]}), *rows, protocol=protocol)
    assert [one.status[BOX_50] for one in found.detections] == ["tp", "fp"]


@pytest.mark.parametrize("boxes", [{}, {1: []}, {1: [[0, 0, 4, 4]]}])
def test_no_predictions(boxes):
    images = _status(_gt(boxes))
    assert len(images) == len(boxes)
    lesions = [lesion for image in images for lesion in image.lesions]
    assert all(lesion.found_at == {BOX_25: None, BOX_50: None} for lesion in lesions)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_protocol_has_its_rules(coco_set, protocol):
    ann, boxes, masks = coco_set(0)
    gt = read_ground_truth(ann)
    results = read_results(boxes, gt), read_results(masks, gt, masks=True)
    status = status_of_images(gt, *results, protocol)
    criteria = PROTOCOLS[protocol].criteria_2d
    assert status.rules == tuple(Rule(kind, one) for kind in ("bbox", "segm") for one in criteria)
    assert set(status.images[0].detections[0].status) == set(status.rules)


def _mask(x, y, w, h):
    mask = np.zeros((96, 1000))
    mask[y : y + h, x : x + w] = 1
    return encode(mask)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_counts_are_the_metrics_where_iou_is_exactly_the_threshold(share):
    """4 000 lesions, 10 an image; each detection is exactly that part of its lesion.

    In floating point about half of the boxes fall below the threshold.
    """
    rng = np.random.default_rng(int(100 * share))
    images = [{"id": number, "height": 96, "width": 1000} for number in range(400)]
    lesions, boxes, masks = [], [], []
    for number in range(4000):
        x, y, w, h = rng.uniform([0, 0, 8, 8], [60, 60, 36, 36]).tolist()
        x += 100 * (number % 10)
        left, top = 12 * (number % 10) + int(rng.integers(4)), int(rng.integers(4))
        image = {"image_id": number // 10}
        lesions.append(image | {"bbox": [x, y, w, h], "segmentation": _mask(left, top, 8, 8)})
        boxes.append(image | {"bbox": [x, y, w * share, h], "score": float(rng.random())})
        masks.append(boxes[-1] | {"segmentation": _mask(left, top, int(8 * share), 8)})
    gt = read_ground_truth({"images": images, "annotations": lesions})
    results = [group_results(rows, gt) for rows in (boxes, masks)]
    kinds = zip(results, ("bbox", "segm"), strict=True)
    evaluation = evaluate_detections([detection_set_of_images(gt, r, kind) for r, kind in kinds])
    status = status_of_images(gt, *results)
    check_counts(evaluation, status)
    for rule in status.rules:
        curve = evaluation.curve(rule.kind, rule.criterion)
        found = [lesion.found_at[rule] for image in status.images for lesion in image.lesions]
        statuses = [one.status[rule] for image in status.images for one in image.detections]
        hits = sum(score is not None for score in found)
        assert hits == statuses.count("tp") == round(4000 * curve.sensitivity[-1])
        assert statuses.count("fp") == round(400 * curve.fp[-1]) == 4000 - hits
    at = Rule("bbox", Criterion("iou", share))
    exact = [one.status[at] for image in status.images for one in image.detections]
    assert 1000 < exact.count("tp") < 3999  # both sides of the limit occur
    at = Rule("segm", Criterion("iou", share))
    assert all(one.status[at] == "tp" for image in status.images for one in image.detections)


def test_masks_join_their_boxes():
    gt = _gt({1: [[0, 0, 10, 10]]})
    rows = [{"image_id": 1, "bbox": [0, 0, 9, 9], "score": score} for score in (0.2, 0.9)]
    masks = [row | {"segmentation": name} for row, name in zip(rows, "ab", strict=True)]
    boxes, masks = group_results(rows, gt), group_results(masks, gt)
    (found,) = status_of_images(gt, boxes, masks).images
    assert [one.segmentation for one in found.detections] == ["b", "a"]
    with pytest.raises(ValueError, match=r"m.json: Expected the masks of the detections of b.json"):
        status_of_images(gt, boxes, masks.take(np.arange(1)), names=["b.json", "m.json"])


def test_metrics_of_another_test_set_are_refused():
    gt = _gt({1: [[0, 0, 10, 10]]})
    evaluation = evaluate_detections([detection_set_of_images(gt, NONE, "bbox")])
    check_counts(evaluation, status_of_images(gt, NONE))
    other = _gt({1: [[0, 0, 10, 10], [20, 20, 5, 5]]})
    with pytest.raises(ValueError, match="n_lesions 1, but got n_lesions 2"):
        check_counts(evaluation, status_of_images(other, NONE))


def test_ids_may_be_text_and_annotations_may_have_none(tmp_path):
    data = {
        "images": [{"id": 1}, {"id": "a"}],
        "annotations": [
            {"image_id": 1, "bbox": [0, 0, 9, 9], "long_axis_mm": 8, "short_axis_mm": 5},
            {"image_id": 1, "bbox": [20, 0, 9, 9]},
        ],
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": "a", "bbox": [0, 0, 5, 5], "score": 0.5}]))
    gt = read_ground_truth(data)
    one, other = status_of_images(gt, read_results(path, gt)).images
    assert [lesion.box for lesion in one.lesions] == [(0, 0, 9, 9), (20, 0, 9, 9)]
    assert [lesion.axes_mm for lesion in one.lesions] == [(8, 5), None]
    assert [found.score for found in other.detections] == [0.5]
