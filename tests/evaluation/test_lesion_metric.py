"""LesionMetric: from model output to metrics, in one process and in two."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import mmglan.evaluation.lesion_metric  # noqa: F401 - registers the metric
from mmglan.detections.stacking import Stacking
from mmglan.evaluation.detection_sets.load_results import load_detection_sets, read_test_set
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.evaluation_record import read_evaluation
from mmglan.evaluation.protocols import PROTOCOLS

SCRIPT = Path(__file__).parent / "scripts" / "evaluate_in_processes.py"


def instances(rows, shape=(96, 96), with_masks=False):
    boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    found = {
        "bboxes": boxes,
        "scores": torch.tensor([row["score"] for row in rows]),
        "labels": torch.zeros(len(rows), dtype=torch.long),
    }
    if with_masks:
        masks = torch.zeros(len(rows), *shape, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().clamp(0), strict=True):
            mask[y1:y2, x1:x2] = True
        found["masks"] = masks
    return found


def run(metric, ann, rows, **options):
    ids = [image["id"] for image in json.loads(ann.read_text())["images"]]
    for image_id in ids:
        found = instances([row for row in rows if row["image_id"] == image_id], **options)
        metric.process(None, [{"img_id": image_id, "pred_instances": found}])
    return metric.evaluate(len(ids))


def test_same_metrics_as_from_its_own_files(coco_set, tmp_path):
    ann, boxes, _ = coco_set(0)
    rows = json.loads(boxes.read_text())
    prefix = tmp_path / "out" / "results"
    metric = METRICS.build(
        dict(type="LesionMetric", ann_file=str(ann), outfile_prefix=str(prefix), bootstrap=50)
    )
    metrics = run(metric, ann, rows, with_masks=True)
    test_set = read_test_set(ann)
    written = [Path(f"{prefix}.{kind}.json") for kind in ("bbox", "segm")]
    detections = load_detection_sets(test_set, written, PROTOCOLS["deeplesion"])
    evaluation = evaluate_detections(detections, bootstrap=50)
    assert metrics == {f"lesion/{name}": value for name, value in evaluation.by_name().items()}
    assert read_evaluation(f"{prefix}.metrics.json") == evaluation
    wanted = "AP10 AP25 AP50 mAP SEN25 SEN50 FROC25_fp0.125 FROC50_fp8 FROC25_mean mRecall25 "
    wanted += "recall25_fp5.85 recall25_fp9"
    for kind in ("bbox", "segm"):
        for name in wanted.split():
            assert 0 < metrics[f"lesion/{kind}_{name}"] <= 1
    # Boxes of float32 and masks of whole pixels: near the boxes' own metrics, full precision kept.
    assert metrics["lesion/bbox_AP25"] != round(metrics["lesion/bbox_AP25"], 3)


def test_volumes_as_from_files(coco_set, tmp_path):
    ann, boxes, _ = coco_set(5)
    images = {image["id"]: image for image in json.loads(ann.read_text())["images"]}
    lesions = [
        {"volume_id": images[i]["volume_id"], "box3d": [x, y, 0, x + 9, y + 9, 1]}
        for i, (x, y, _, _) in (
            (lesion["image_id"], lesion["bbox"])
            for lesion in json.loads(ann.read_text())["annotations"]
        )
    ]
    names = sorted({image["volume_id"] for image in images.values()})
    volumes = tmp_path / "volumes.json"
    volumes.write_text(
        json.dumps({"volumes": [{"volume_id": name} for name in names], "lesions": lesions})
    )
    prefix = tmp_path / "results"
    metric = METRICS.build(
        dict(
            type="LesionMetric",
            ann_file=str(ann),
            volumes_file=str(volumes),
            outfile_prefix=str(prefix),
        )
    )
    metrics = run(metric, ann, json.loads(boxes.read_text()))
    test_set = read_test_set(ann, volumes=volumes)
    written = f"{prefix}.bbox.json"
    detections = load_detection_sets(test_set, written, PROTOCOLS["deeplesion"])
    expected = evaluate_detections(detections).by_name()
    assert metrics == {f"lesion/{name}": value for name, value in expected.items()}
    assert metrics["lesion/bbox3d_SEN_IoBB30"] > 0 and metrics["lesion/bbox3d_SEN25"] > 0


def test_scores_averaged_over_slices(coco_set, tmp_path):
    ann, boxes, _ = coco_set(0)
    rows = json.loads(boxes.read_text())
    config = dict(type="LesionMetric", ann_file=str(ann), outfile_prefix=str(tmp_path / "results"))
    metrics = run(METRICS.build(config | dict(neighbour_reach=1)), ann, rows)
    averaged = json.loads((tmp_path / "results.bbox.json").read_text())
    plain = run(METRICS.build(config), ann, rows)
    written = tmp_path / "results.bbox.json"
    options = dict(protocol=PROTOCOLS["deeplesion"], neighbour_reach=1)
    test_set = read_test_set(ann)
    expected = evaluate_detections(load_detection_sets(test_set, written, **options)).by_name()
    assert metrics == {f"lesion/{name}": value for name, value in expected.items()} != plain
    before = json.loads(written.read_text())
    assert [row["bbox"] for row in averaged] == [row["bbox"] for row in before]
    assert [row["score"] for row in averaged] != [row["score"] for row in before]


def test_stacking_is_the_configs(coco_set, tmp_path):
    ann, boxes, _ = coco_set(0)
    gt, volumes = json.loads(ann.read_text()), tmp_path / "volumes.json"
    names = sorted({image["volume_id"] for image in gt["images"]})
    lesion = {"volume_id": names[0], "box3d": [1, 1, 0, 30, 30, 2]}
    content = {"volumes": [{"volume_id": name} for name in names], "lesions": [lesion]}
    volumes.write_text(json.dumps(content))
    how = dict(iou=0.5, score="mean")
    config = dict(type="LesionMetric", ann_file=str(ann), volumes_file=str(volumes))
    config |= dict(iou_types="bbox", outfile_prefix=str(tmp_path / "results"), stacking=how)
    run(METRICS.build(config), ann, json.loads(boxes.read_text()))
    written = read_evaluation(tmp_path / "results.metrics.json")
    test_set = read_test_set(ann, volumes=volumes)
    results = tmp_path / "results.bbox.json"
    protocol = PROTOCOLS["deeplesion"]
    sets = load_detection_sets(test_set, results, protocol, stacking=Stacking(**how))
    plain = load_detection_sets(test_set, results, protocol)
    assert written.curves == evaluate_detections(sets).curves != evaluate_detections(plain).curves


def test_detector_without_masks(coco_set, tmp_path):
    ann, boxes, _ = coco_set(1)
    metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann)))
    metrics = run(metric, ann, json.loads(boxes.read_text()))
    assert metrics["lesion/bbox_SEN25"] > 0
    assert not any(name.startswith("lesion/segm") for name in metrics)


def test_masks_without_boxes_give_no_metric_of_boxes(coco_set, tmp_path):
    """SOLO's boxes, say, are four zeros each."""
    ann, boxes, _ = coco_set(0)
    rows = json.loads(boxes.read_text())
    prefix = tmp_path / "results"
    metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann), outfile_prefix=str(prefix)))
    for image in json.loads(ann.read_text())["images"]:
        found = instances([r for r in rows if r["image_id"] == image["id"]], with_masks=True)
        found["bboxes"] = torch.zeros_like(found["bboxes"])
        metric.process(None, [{"img_id": image["id"], "pred_instances": found}])
    metrics = metric.evaluate(len(rows))
    assert 0 < metrics["lesion/segm_AP25"] < 1
    assert not any("bbox" in name for name in metrics)
    assert not (tmp_path / "results.bbox.json").exists()


def test_no_predictions_and_no_lesions(coco_set):
    ann, boxes, _ = coco_set(2)
    rows = json.loads(boxes.read_text())
    metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann), bootstrap=20))
    silent = run(metric, ann, [], with_masks=True)
    assert set(silent.values()) == {0.0} and "lesion/segm_AP25" in silent
    data = json.loads(ann.read_text())
    ann.write_text(json.dumps(data | {"annotations": []}))
    for predicted in (rows, []):
        metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann), bootstrap=20))
        healthy = run(metric, ann, predicted, with_masks=True)
        assert np.isnan(list(healthy.values())).all()


def test_untested_images_count_and_are_named(coco_set):
    ann, _, _ = coco_set(3)
    metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann), iou_types="bbox"))
    metric.process(None, [{"img_id": 100, "pred_instances": instances([])}])
    with pytest.warns(UserWarning, match="23 of 24 images were not tested"):
        assert metric.evaluate(1)["lesion/bbox_SEN25"] == 0


def test_truth_without_masks_and_predictions_that_are_not_finite(coco_set):
    ann, boxes, _ = coco_set(6)
    data = json.loads(ann.read_text())
    for lesion in data["annotations"]:
        del lesion["segmentation"]
    ann.write_text(json.dumps(data))
    rows = json.loads(boxes.read_text())
    expected = run(METRICS.build(dict(type="LesionMetric", ann_file=str(ann))), ann, rows)
    bad = [rows[0] | {"bbox": [1, 2, float("nan"), 4]}, rows[1] | {"score": float("inf")}]
    metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann)))
    with pytest.warns(UserWarning, match="2 predictions were left out"):
        metrics = run(metric, ann, rows + bad, with_masks=True)
    assert metrics == expected


@pytest.mark.parametrize("options", [{"iou_types": ("keypoints",)}, {"protocol": "mine"}])
def test_bad_options_are_named(coco_set, options):
    with pytest.raises(ValueError, match="Expected"):
        METRICS.build(dict(type="LesionMetric", ann_file=str(coco_set(0)[0]), **options))


def test_two_processes_give_the_metrics_of_one(coco_set, tmp_path, repository):
    ann, _, masks = coco_set(4, n_images=23, tied=True)
    nothing = tmp_path / "nothing.json"
    nothing.write_text("[]")
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [
                *(sys.executable, str(SCRIPT), str(rank), "2", str(tmp_path / "store")),
                *(str(ann), str(tmp_path / "two"), str(masks), str(nothing)),
            ],
            env=environment,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    specification = importlib.util.spec_from_file_location("evaluate_in_processes", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    for number, results in enumerate((masks, nothing)):
        script.evaluate(0, 1, ann, results, tmp_path / f"one.{number}")
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-2000:]
    for number in range(2):
        for end in ("json", "metrics.json", "bbox.json", "segm.json"):
            one, two = (tmp_path / f"{name}.{number}.{end}" for name in ("one", "two"))
            assert one.exists() == two.exists()
            assert not one.exists() or one.read_text() == two.read_text()
    assert json.loads((tmp_path / "two.0.json").read_text())["lesion/segm_FROC50_mean"] > 0
    assert json.loads((tmp_path / "two.1.json").read_text())["lesion/bbox_SEN25"] == 0


def test_ids_of_images_may_be_text(coco_set, tmp_path):
    """As in result files: the metrics do not depend on what the images are called."""
    ann, boxes, _ = coco_set(0)
    rows = json.loads(boxes.read_text())
    plain = run(METRICS.build(dict(type="LesionMetric", ann_file=str(ann))), ann, rows)
    data = json.loads(ann.read_text())
    for image in data["images"]:
        image["id"] = f"slice {image['id']:04d}"
    for record in (*data["annotations"], *rows):
        record["image_id"] = f"slice {record['image_id']:04d}"
    named = tmp_path / "named.json"
    named.write_text(json.dumps(data))
    assert run(METRICS.build(dict(type="LesionMetric", ann_file=str(named))), named, rows) == plain


def test_an_image_that_is_tested_twice_counts_once(coco_set):
    ann, boxes, _ = coco_set(0)
    rows = json.loads(boxes.read_text())
    once = run(METRICS.build(dict(type="LesionMetric", ann_file=str(ann))), ann, rows)
    metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann)))
    image_id = rows[0]["image_id"]
    again = instances([row for row in rows if row["image_id"] == image_id])
    metric.process(None, [{"img_id": image_id, "pred_instances": again}])
    ids = [image["id"] for image in json.loads(ann.read_text())["images"]]
    for one in ids:
        found = instances([row for row in rows if row["image_id"] == one])
        metric.process(None, [{"img_id": one, "pred_instances": found}])
    with pytest.warns(UserWarning, match="1 results are of an image that was tested before"):
        assert metric.evaluate(len(ids) + 1) == once


def three_classes():
    """One lesion each of node (7), cyst (3) and vessel (9) on one image; names not in order."""
    boxes = {7: [0, 0, 10, 10], 3: [20, 0, 10, 10], 9: [40, 0, 10, 10]}
    return {
        "images": [{"id": 1, "width": 96, "height": 96}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": number, "bbox": box, "area": 100}
            | {"iscrowd": 0}
            for number, box in boxes.items()
        ],
        "categories": [
            {"id": 7, "name": "node"},
            {"id": 3, "name": "cyst"},
            {"id": 9, "name": "vessel"},
        ],
    }


def predicted(metric, rows):
    """Run a metric on (box, score, label) of image 1."""
    found = instances([{"bbox": box, "score": score} for box, score, _ in rows])
    found["labels"] = torch.tensor([label for *_, label in rows])
    metric.process(None, [{"img_id": 1, "pred_instances": found}])
    return metric.evaluate(1)


def test_result_files_hold_the_ids_of_the_data(tmp_path):
    ann, prefix = tmp_path / "ann.json", tmp_path / "results"
    ann.write_text(json.dumps(three_classes()))
    options = dict(ann_file=str(ann), iou_types="bbox", outfile_prefix=str(prefix))
    metric = METRICS.build(dict(type="LesionMetric", **options))
    metric.dataset_meta = {"classes": ("cyst", "node")}  # labels 0 and 1
    rows = [([20, 0, 10, 10], 0.9, 0), ([0, 0, 10, 10], 0.8, 1), ([40, 0, 10, 10], 0.7, 1)]
    metrics = predicted(metric, rows)
    written = json.loads(Path(f"{prefix}.bbox.json").read_text())
    assert [row["category_id"] for row in written] == [3, 7, 7]
    # The vessel is no lesion of this model: two of two are found.
    assert metrics["lesion/bbox_AP50"] == pytest.approx(1)
    assert metrics["lesion/bbox_SEN50"] == 1


@pytest.mark.parametrize("number", [1, 7])
def test_pycocotools_reads_the_result_files(coco_set, tmp_path, number):
    ann, boxes, _ = coco_set(0)
    data = json.loads(ann.read_text())
    for entry in data["annotations"]:
        entry["category_id"] = number
    data["categories"][0]["id"] = number
    ann.write_text(json.dumps(data))
    prefix = str(tmp_path / "results")
    options = dict(ann_file=str(ann), iou_types="bbox", outfile_prefix=prefix)
    metric = METRICS.build(dict(type="LesionMetric", **options))
    metric.dataset_meta = {"classes": ("lesion",)}
    metrics = run(metric, ann, json.loads(boxes.read_text()))
    coco = COCO(str(ann))
    theirs = COCOeval(coco, coco.loadRes(f"{prefix}.bbox.json"), "bbox")
    theirs.evaluate()
    theirs.accumulate()
    theirs.summarize()
    assert metrics["lesion/bbox_mAP"] == pytest.approx(theirs.stats[0], abs=1e-12)
    assert 0 < metrics["lesion/bbox_mAP"] < 1


def test_classes_that_the_data_do_not_list(tmp_path):
    ann = tmp_path / "ann.json"
    ann.write_text(json.dumps(three_classes()))
    metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann)))
    metric.dataset_meta = {"classes": ("node", "vesel")}
    with pytest.raises(ValueError, match=r"ann\.json: .*\['vesel'\].* mean 'vessel' for 'vesel'"):
        predicted(metric, [([0, 0, 10, 10], 0.9, 0)])
    metric = METRICS.build(dict(type="LesionMetric", ann_file=str(ann)))
    metric.dataset_meta = {"classes": ("node",)}
    with pytest.raises(ValueError, match=r"labels of 1 classes but .* label 2; set num_classes=1"):
        predicted(metric, [([0, 0, 10, 10], 0.9, 2)])
