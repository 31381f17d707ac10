"""A small made-up test set with predictions, metrics and a training log, as a run leaves them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.evaluation_record import write_evaluation


def _ellipse(shape, box):
    x, y, w, h = box
    yy, xx = np.mgrid[: shape[0], : shape[1]] + 0.5
    return ((xx - x - w / 2) / (w / 2)) ** 2 + ((yy - y - h / 2) / (h / 2)) ** 2 <= 1


def _rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def _slice(rng, shape, boxes):
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    body = ((xx / shape[1] - 0.5) / 0.45) ** 2 + ((yy / shape[0] - 0.5) / 0.4) ** 2 <= 1
    image = np.where(body, 0.35, 0.02) + rng.normal(0, 0.03, shape)
    image += 0.1 * np.sin(xx / 17.0) * np.cos(yy / 13.0) * body
    for box in boxes:
        image[_ellipse(shape, box)] += 0.35
    return np.round(np.clip(cv2.GaussianBlur(image, (0, 0), 1), 0, 1) * 65535).astype(np.uint16)


def _random_box(rng, shape):
    w, h = rng.uniform(8, 30, 2)
    return [
        round(float(v), 2)
        for v in (rng.uniform(20, shape[1] - 50), rng.uniform(20, shape[0] - 50), w, h)
    ]


def _evaluation(folder: Path, results, masks):
    gt = read_ground_truth(folder / "data" / "annotations" / "test.json")
    sets = [
        detection_set_of_images(gt, group_results(found, gt), kind)
        for kind, found in (("bbox", results), ("segm", masks))
    ]
    return evaluate_detections(sets, bootstrap=40)


def make_run(folder: Path, *, n_images: int = 12, shape=(180, 220), seed: int = 0) -> Path:
    """Write a data set and a run on it; returns the folder with `data/` and `run/`.

    Image 1 has a lesion found with 0.95 (and found again with 0.6) and nothing else; image 2 a
    lesion that nothing finds; image 3 no lesion and one false positive of 0.9; image 4 nothing at
    all; the others are random.
    """
    rng = np.random.default_rng(seed)
    images, annotations, results, masks = [], [], [], []

    def lesion(image_id, box):
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "segmentation": _rle(_ellipse(shape, box)),
                "long_axis_mm": round(max(box[2:]) * 0.9, 2),
                "short_axis_mm": round(min(box[2:]) * 0.9, 2),
                "site": "NAME-OF-SITE",
            }
        )

    def predict(image_id, box, score):
        common = {"image_id": image_id, "category_id": 1, "score": score}
        results.append({**common, "bbox": box})
        masks.append({**common, "bbox": box, "segmentation": _rle(_ellipse(shape, box))})

    for image_id in range(1, n_images + 1):
        name = f"SECRET-{(image_id + 1) // 2:02d}/{image_id:04d}.png"
        images.append(
            {
                "id": image_id,
                "file_name": name,
                "height": shape[0],
                "width": shape[1],
                "patient_id": f"SECRET-{(image_id + 1) // 2:02d}",
                "volume_id": f"SECRET-{(image_id + 1) // 2:02d}",
                "slice_index": 10 + image_id,
                "spacing_mm": [0.9, 0.9],
            }
        )
        boxes = []
        if image_id == 1:
            boxes = [[60.0, 70.0, 30.0, 24.0]]
            predict(1, [61.0, 70.0, 30.0, 24.0], 0.95)
            predict(1, [64.0, 72.0, 28.0, 24.0], 0.6)
        elif image_id == 2:
            boxes = [[120.0, 60.0, 14.0, 12.0]]
        elif image_id == 3:
            predict(3, [100.0, 90.0, 20.0, 20.0], 0.9)
        elif image_id > 4:
            boxes = [_random_box(rng, shape) for _ in range(rng.integers(0, 3))]
            for box in boxes:
                moved = [round(float(v), 2) for v in np.add(box, rng.normal(0, 2.5, 4))]
                predict(image_id, moved, round(float(rng.uniform(0.3, 1)), 4))
            for _ in range(rng.integers(0, 6)):
                predict(image_id, _random_box(rng, shape), round(float(rng.uniform(0, 0.7)), 4))
        for box in boxes:
            lesion(image_id, box)
        path = folder / "data" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), _slice(rng, shape, boxes))

    truth = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "lesion"}],
    }
    run = folder / "run"
    (folder / "data" / "annotations").mkdir(parents=True)
    (run / "20260101_000000" / "vis_data").mkdir(parents=True)
    (folder / "data" / "annotations" / "test.json").write_text(json.dumps(truth))
    (run / "results.bbox.json").write_text(json.dumps(results))
    (run / "results.segm.json").write_text(json.dumps(masks))
    write_evaluation(_evaluation(folder, results, masks), run / "results.metrics.json")
    (run / "glan_r50_fpn_160e_lesions.py").write_text(
        f"data_root = {str(folder / 'data')!r}\n"
        "test_dataloader = dict(dataset=dict(ann_file='annotations/test.json', "
        f"data_prefix=dict(img='images/'), data_root={str(folder / 'data')!r}))\n"
        f"test_evaluator = dict(ann_file={str(folder / 'data' / 'annotations/test.json')!r})\n"
        "train_cfg = dict(max_epochs=160)\n"
    )
    info = {"git": {"commit": "0123456789abcdef", "changed_files": ["SECRET.py"]}, "seed": 0}
    (run / "run_info.json").write_text(json.dumps({**info, "annotation_file": "SECRET"}))
    log = run / "20260101_000000" / "vis_data" / "scalars.json"
    log.write_text("".join(json.dumps(line) + "\n" for line in _log_lines()))
    return folder


def _log_lines():
    for step in range(10, 210, 10):
        line = {"lr": 0.001, "loss": 3 - step / 100, "loss_cls": 0.7 - step / 400}
        for index, task in enumerate(("rpn_cls", "rpn_box", "cls", "box", "mask")):
            sigma = 1 - (index + 1) * step / 1500
            line |= {
                f"sigma_{task}": sigma,
                f"weight_{task}": sigma**-2,
                f"raw_{task}": sigma**2,
            }
        yield {**line, "iter": step, "epoch": 1, "step": step}
    yield {"lesion/bbox_AP25": 0.5, "step": 1}


@pytest.fixture(scope="session", autouse=True)
def _place_of_the_data(tmp_path_factory):
    """Configs of runs may name test sets below MMGLAN_DATA."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMGLAN_DATA", str(tmp_path_factory.getbasetemp()))
        yield


@pytest.fixture(scope="session")
def made_run(tmp_path_factory):
    """Folder with `data/` and `run/` of twelve slices."""
    return make_run(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def tool():
    """Function that imports a command by its name."""
    return lambda name: importlib.import_module(f"mmglan.commands.{name}")


@pytest.fixture(scope="session")
def made_report(made_run, tool):
    """The HTML report of `made_run`."""
    path = made_run / "report.html"
    assert tool("report").main([str(made_run / "run"), "--out", str(path)]) == 0
    return path
