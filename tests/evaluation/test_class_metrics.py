"""Metrics by class: against pycocotools and faster-coco-eval, and the confusion by hand."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from coco_sets import encode, make_set
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from mmdet.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import mmglan.evaluation.lesion_metric  # noqa: F401 - registers the metric
from mmglan.api import evaluate
from mmglan.commands import evaluate as command
from mmglan.evaluation.evaluation_record import Evaluation, read_evaluation
from mmglan.reporting.page_tables import class_tables

CLASSES = {9: "node", 4: "cyst", 6: "vessel cross-section"}


@pytest.fixture
def three_classes(tmp_path):
    """Annotations of three classes with crowd regions, and results that confuse some."""
    rng = np.random.default_rng(3)
    gt, boxes, masks = make_set(11, n_images=30)
    ids = list(CLASSES)
    for lesion in gt["annotations"]:
        lesion["category_id"] = ids[int(rng.integers(3))]
        lesion["iscrowd"] = int(rng.random() < 0.1)
    for box, mask in zip(boxes, masks, strict=True):
        box["category_id"] = mask["category_id"] = ids[int(rng.integers(3))]
    gt["categories"] = [{"id": number, "name": name} for number, name in CLASSES.items()]
    paths = []
    for name, content in (("gt", gt), ("bbox", boxes), ("segm", masks)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(content))
    return paths


def their_ap(api, evaluator, gt, results, kind):
    """AP at 0.25 and 0.50 of each class, by category id, as its authors compute it."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = api(str(gt))
        run = evaluator(truth, truth.loadRes(str(results)), kind)
        run.params.iouThrs = np.array([0.25, 0.5])
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, -1]
    return precision.mean(axis=1), list(run.params.catIds)


@pytest.mark.parametrize(
    ("api", "evaluator"), [(COCO, COCOeval), (FasterCOCO, COCOeval_faster)], ids=["coco", "faster"]
)
def test_ap_of_each_class_is_theirs(three_classes, api, evaluator):
    gt, *results = three_classes
    ours = evaluate(gt, results, bootstrap=0, per_class=True)
    for kind, path in zip(("bbox", "segm"), results, strict=True):
        theirs, ids = their_ap(api, evaluator, gt, path, kind)
        for row, threshold in enumerate((25, 50)):
            for column, number in enumerate(ids):
                value = ours[f"{kind}_AP{threshold}_{CLASSES[number]}"].value
                assert value == pytest.approx(theirs[row, column], abs=1e-9) and value > 0
            mean = ours[f"{kind}_AP{threshold}_class mean"].value
            assert mean == pytest.approx(theirs[row].mean(), abs=1e-9)
            pooled = ours[f"{kind}_AP{threshold}"].value
            assert pooled > mean  # confused classes cost nothing there


def test_pooled_metrics_do_not_change(three_classes):
    gt, boxes, _ = three_classes
    alone, both = (evaluate(gt, boxes, bootstrap=0, per_class=one) for one in (False, True))
    assert alone.by_name().items() <= both.by_name().items()
    assert alone.counts == both.counts and alone.confusions == ()


def test_the_test_loop_writes_what_others_read(three_classes, tmp_path):
    gt, boxes, _ = three_classes
    names = ["cyst", "node", "vessel cross-section"]  # another order than the file's
    config = dict(type="LesionMetric", ann_file=str(gt), iou_types="bbox", per_class=True)
    metric = METRICS.build(config | {"outfile_prefix": str(tmp_path / "r"), "bootstrap": 10})
    metric.dataset_meta = {"classes": names}
    rows = json.loads(boxes.read_text())
    labels = {number: names.index(name) for number, name in CLASSES.items()}
    ids = [image["id"] for image in json.loads(gt.read_text())["images"]]
    for image_id in ids:
        mine = [row for row in rows if row["image_id"] == image_id]
        corners = torch.tensor([row["bbox"] for row in mine], dtype=torch.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        found = {
            "bboxes": corners,
            "scores": torch.tensor([row["score"] for row in mine], dtype=torch.float64),
            "labels": torch.tensor([labels[row["category_id"]] for row in mine], dtype=torch.long),
        }
        metric.process(None, [{"img_id": image_id, "pred_instances": found}])
    values = metric.evaluate(len(ids))
    for api, evaluator in ((COCO, COCOeval), (FasterCOCO, COCOeval_faster)):
        theirs, order = their_ap(api, evaluator, gt, tmp_path / "r.bbox.json", "bbox")
        for column, number in enumerate(order):
            value = values[f"lesion/bbox_AP50_{CLASSES[number]}"]
            assert value == pytest.approx(theirs[1, column], abs=1e-9)
    written = read_evaluation(tmp_path / "r.metrics.json")
    assert written["bbox_AP50_node"].interval is not None
    assert written["bbox_AP50_class mean"].interval is not None


def box(x, category, image_id=1, **more):
    return {"image_id": image_id, "bbox": [x, 0, 10, 10], "category_id": category, **more}


def small_set(tmp_path):
    """Two nodes and a cyst; a node found, a node found as a cyst, a false cyst, a faint cyst."""
    gt = tmp_path / "gt.json"
    found = tmp_path / "r.json"
    lesions = [box(0, 9), box(20, 9), box(40, 4)]
    content = {"images": [{"id": 1}, {"id": 2}], "annotations": lesions}
    categories = [{"id": number, "name": name} for number, name in list(CLASSES.items())[:2]]
    gt.write_text(json.dumps(content | {"categories": categories}))
    rows = [box(0, 9, score=0.9), box(20, 4, score=0.8), box(60, 4, score=0.7)]
    rows += [box(90, 9, 2, score=0.6), box(95, 4, 2, score=0.5), box(40, 4, score=0.4)]
    found.write_text(json.dumps(rows))
    return gt, found


def test_confusion_by_hand(tmp_path, capsys):
    gt, found = small_set(tmp_path)
    out = tmp_path / "m.json"
    argv = ["--gt", gt, "--pred", found, "--bootstrap", 0, "--per-class", "--out", out]
    assert command.main(list(map(str, argv))) == 0
    evaluation = read_evaluation(out)
    (one,) = evaluation.confusions
    # Two false positives on two images: from score 0.6 on.
    assert one.score == 0.6 and one.classes == ("node", "cyst")
    assert one.counts == ((1, 1, 0), (0, 0, 1), (1, 1, 0))
    assert Evaluation.from_json(json.loads(out.read_text())) == evaluation
    # Of the class node one of two is found; of cyst the one, below two false positives.
    assert evaluation["bbox_SEN25_node"].value == 0.5
    assert evaluation["bbox_SEN25_cyst"].value == 1.0
    text = capsys.readouterr().out
    assert "boxes, by class" in text and "found as (columns)" in text and "no lesion" in text
    by_class, confusion = class_tables(evaluation)
    assert by_class["columns"][1] == "AP at IoU 0.10"
    assert [row[0] for row in by_class["rows"]] == ["node", "cyst", "class mean"]
    assert confusion["rows"] == [
        ["node", "1", "1", "0"],
        ["cyst", "0", "0", "1"],
        ["no lesion", "1", "1", "0"],
    ]


def test_classes_that_are_not_known_are_refused(tmp_path):
    gt, found = small_set(tmp_path)
    content = json.loads(gt.read_text())
    rows = json.loads(found.read_text())
    del rows[0]["category_id"]
    with pytest.raises(ValueError, match=r"predictions\[0\]: Expected category_id"):
        evaluate(content, rows, bootstrap=0, per_class=True)
    del content["categories"]
    with pytest.raises(ValueError, match="gt: Expected categories for metrics by class"):
        evaluate(content, json.loads(found.read_text()), bootstrap=0, per_class=True)
    with pytest.raises(ValueError, match="--per-class: volumes have no classes"):
        evaluate(None, [], gt_masks=None, volumes=_volumes(tmp_path), per_class=True)


def _volumes(tmp_path):
    path = tmp_path / "volumes.json"
    path.write_text(json.dumps({"volumes": [], "lesions": []}))
    return path


def test_masks_by_class(tmp_path):
    """A mask of another class is no hit, at any overlap."""
    mask = np.zeros((20, 20))
    mask[:10, :10] = 1
    lesion = box(0, 9, segmentation=encode(mask))
    content = {"images": [{"id": 1, "height": 20, "width": 20}], "annotations": [lesion]}
    content["categories"] = [{"id": number, "name": name} for number, name in CLASSES.items()]
    for category, expected in ((9, 1.0), (4, 0.0)):
        rows = [lesion | {"category_id": category, "score": 1.0}]
        found = evaluate(content, rows, bootstrap=0, per_class=True)
        assert found["segm_AP50_node"].value == pytest.approx(expected)
        assert found["segm_AP50"].value == pytest.approx(1)
        assert found["segm_AP50_cyst"].value is None
