"""The typed record of an evaluation, its names, and the file that holds it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import read_results
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.evaluation_record import Evaluation, read_evaluation, write_evaluation
from mmglan.evaluation.metric_values import MetricKey
from mmglan.evaluation.protocols import Criterion, Protocol

IOU_25 = Criterion("iou", 0.25)


@pytest.fixture
def evaluation(coco_set):
    ann, boxes, _ = coco_set(0)
    gt = read_ground_truth(ann)
    detections = detection_set_of_images(gt, read_results(boxes, gt), "bbox")
    return evaluate_detections([detections], bootstrap=10)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (MetricKey("bbox", "AP", IOU_25), "bbox_AP25"),
        (MetricKey("segm", "mAP"), "segm_mAP"),
        (MetricKey("bbox", "SEN", Criterion("centre"), 5.0), "bbox_SEN_centre"),
        (MetricKey("bbox3d", "FROC", Criterion("iobb", 0.3), 0.125), "bbox3d_FROC_IoBB30_fp0.125"),
        (MetricKey("bbox", "FROC_mean", IOU_25), "bbox_FROC25_mean"),
        (MetricKey("bbox", "recall", IOU_25, 5.85), "bbox_recall25_fp5.85"),
        (MetricKey("segm3d", "volumeSEN", IOU_25, 5.0), "segm3d_volumeSEN25"),
        (MetricKey("bbox", "AP", IOU_25, stratum="< 10 mm"), "bbox_AP25 < 10 mm"),
        (MetricKey("bbox", "FROC", IOU_25, 1.0, None, "cyst"), "bbox_FROC25_fp1_cyst"),
    ],
)
def test_names(key, name):
    assert key.name == name


def test_no_two_metrics_have_one_name(evaluation):
    names = [value.name for value in evaluation.values]
    assert len(names) == len(set(names)) > 40
    assert [value for value in evaluation.values if value.stratum is None] != []
    assert set(evaluation.by_name()) < set(names)


def test_a_metric_is_found_by_key_and_by_name(evaluation):
    value = evaluation["bbox_AP25"]
    assert value.key == MetricKey("bbox", "AP", IOU_25)
    assert evaluation[value.key] is value and evaluation.get("bbox_AP99") is None
    with pytest.raises(KeyError, match="bbox_AP99"):
        _ = evaluation["bbox_AP99"]
    assert evaluation.curve("bbox", IOU_25).kind == "bbox"
    assert evaluation.curve("segm", IOU_25) is None


def test_the_file_gives_back_what_was_written(evaluation, tmp_path):
    rules = (Criterion("radius"),)
    protocol = Protocol("mine", rules, rules, assignment="greedy", in_mm=True)
    for one in (evaluation, replace(evaluation, protocol=protocol), Evaluation(protocol)):
        write_evaluation(one, tmp_path / "m.json")
        assert read_evaluation(tmp_path / "m.json") == one
    written = json.loads((tmp_path / "m.json").read_text())
    assert written["schema"] == 2


def test_strata_keep_their_order_in_the_file(evaluation, tmp_path):
    write_evaluation(evaluation, tmp_path / "m.json")
    names = [one.name for one in read_evaluation(tmp_path / "m.json").size.strata]
    assert names == [n for n in ("< 10 mm", "10-20 mm", "> 20 mm") if n in names] and len(names) > 1


def test_volumes_take_the_place_of_the_3d_part(evaluation):
    def as_kind(kind):
        values = tuple(replace(value, kind=kind) for value in evaluation.values)
        curves = tuple(replace(curve, kind=kind) for curve in evaluation.curves)
        return replace(evaluation, counts={kind: evaluation.size}, values=values, curves=curves)

    both = evaluation.with_volumes(as_kind("bbox3d"))
    assert list(both.counts) == ["bbox", "bbox3d"]
    assert both["bbox3d_AP25"].value == both["bbox_AP25"].value == evaluation["bbox_AP25"].value
    assert both.with_volumes(both) == both
    assert both.with_volumes(as_kind("segm")) == evaluation
    assert as_kind("segm").with_volumes(as_kind("bbox3d")).size == evaluation.size


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 1}, "Expected metrics of schema 2 but got 1; evaluate again"),
        ({"schema": None}, "schema 2 but got None"),
        ({"values": 3}, r"Expected `array`, got `int` - at `\$.values`"),
        ({"values": [{"kind": "bbox"}]}, r"missing required field `metric` - at `\$.values\[0\]`"),
        ({"values": [{"kind": "voxel", "metric": "AP"}]}, r"'voxel' - at `\$.values\[0\].kind`"),
        ({"values": [{"kind": "bbox", "metric": "AP", "value": "x"}]}, r"`\$.values\[0\].value`"),
        ({"protocol": "deeplesion"}, r"Expected `object`, got `str` - at `\$.protocol`"),
    ],
)
def test_files_that_cannot_be_used_are_named(evaluation, tmp_path, change, words):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(evaluation.to_json() | change))
    with pytest.raises(ValueError, match=rf"{path}: .*{words}"):
        read_evaluation(path)


def test_files_that_are_none_are_named(tmp_path):
    path = tmp_path / "m.json"
    for text, words in (("[1]", "schema 2 but got None"), ("{", "Expected JSON")):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"{path}: .*{words}"):
            read_evaluation(path)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        read_evaluation(tmp_path / "none.json")
