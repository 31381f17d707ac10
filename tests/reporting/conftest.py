"""A small made-up test set with predictions, metrics and a training log, as a run leaves them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmglan.evaluation.froc import froc

POINTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


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


def _curve(images, annotations, results, threshold):
    def corners(box):
        return [box[0], box[1], box[0] + box[2], box[1] + box[3]]

    predictions = [
        [[*corners(r["bbox"]), r["score"]] for r in results if r["image_id"] == i["id"]]
        for i in images
    ]
    truth = [[corners(a["bbox"]) for a in annotations if a["image_id"] == i["id"]] for i in images]
    curve = froc(predictions, truth, threshold=threshold)
    low, high = np.clip(curve.sensitivity - 0.08, 0, 1), np.clip(curve.sensitivity + 0.06, 0, 1)
    points = []
    for fp in POINTS:
        score = float(curve.threshold_at(fp))
        points.append(
            {
                "fp": fp,
                "sensitivity": float(curve.at(fp)),
                "score": score if math.isfinite(score) else None,
            }
        )
    return curve, {
        "fp": curve.fp.tolist(),
        "sensitivity": curve.sensitivity.tolist(),
        "score": curve.score.tolist(),
        "band_low": low.tolist(),
        "band_high": high.tolist(),
        "operating_points": points,
    }


def make_run(folder: Path, *, n_images: int = 12, shape=(180, 220), seed: int = 0) -> Path:
    """Write a data set and a run on it; returns the folder with ``data/`` and ``run/``.

    Image 1 has a lesion found with 0.95 (and found again with 0.6) and nothing else; image 2 a
    lesion that nothing finds; image 3 no lesion and one false alarm of 0.9; image 4 nothing at all;
    the others are random.
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
        masks.append({**common, "segmentation": _rle(_ellipse(shape, box))})

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
    (run / "results.metrics.json").write_text(
        json.dumps(_metrics(images, annotations, results), sort_keys=True)
    )
    (run / "glan_r50_fpn_160e_lesions.py").write_text(
        f"data_root = {str(folder / 'data')!r}\n"
        "test_dataloader = dict(dataset=dict(ann_file='annotations/test.json', "
        f"data_prefix=dict(img='images/'), data_root={str(folder / 'data')!r}))\n"
        f"test_evaluator = dict(ann_file={str(folder / 'data' / 'annotations/test.json')!r})\n"
        "train_cfg = dict(max_epochs=160)\n"
    )
    log = run / "20260101_000000" / "vis_data" / "scalars.json"
    log.write_text("".join(json.dumps(line) + "\n" for line in _log_lines()))
    return folder


def _metrics(images, annotations, results):
    metrics, froc_part = {}, {"bbox": {}}
    for threshold in (0.25, 0.5):
        curve, record = _curve(images, annotations, results, threshold)
        froc_part["bbox"][f"{threshold:.2f}"] = record
        name = f"{round(100 * threshold)}"
        metrics[f"lesion/bbox_AP{name}"] = 0.71 - threshold / 3
        metrics[f"lesion/bbox_SEN{name}"] = float(curve.at(5))
        metrics[f"lesion/segm_AP{name}"] = 0.68 - threshold / 3
        metrics[f"lesion/segm_SEN{name}"] = 0.8
        for point in record["operating_points"]:
            metrics[f"lesion/bbox_FROC{name}_fp{point['fp']:g}"] = point["sensitivity"]
    metrics |= {"lesion/bbox_mAP": 0.31, "lesion/bbox_AP10": -1.0, "lesion/bbox_mRecall": 0.77}
    intervals = {
        key: {
            "low": max(0.0, value - 0.1),
            "high": min(1.0, value + 0.1),
            "level": 0.95,
            "method": "percentile",
            "n": 1000,
        }
        for key, value in metrics.items()
        if value >= 0
    }
    sizes = [a["short_axis_mm"] for a in annotations]
    strata = {
        name: {
            "n_lesions": sum(low <= s < high for s in sizes),
            "metrics": {"lesion/bbox_SEN25": value, "lesion/bbox_SEN50": value - 0.1},
        }
        for name, low, high, value in (
            ("< 10 mm", 0, 10, 0.55),
            ("10 – 20 mm", 10, 20, 0.75),
            ("> 20 mm", 20, 999, 0.9),
        )
    }
    return {
        "schema": 1,
        "n_images": len(images),
        "n_patients": len(images) // 2,
        "n_lesions": len(annotations),
        "metrics": metrics,
        "intervals": intervals,
        "froc": froc_part,
        "strata": strata,
    }


def _log_lines():
    for step in range(10, 210, 10):
        line = {"lr": 0.001, "loss": 3 - step / 100, "loss_cls": 0.7 - step / 400}
        for index, task in enumerate(("rpn_cls", "rpn_box", "cls", "box", "mask")):
            sigma = 1 - (index + 1) * step / 1500
            line |= {
                f"sigma/{task}": sigma,
                f"weight/{task}": sigma**-2,
                f"raw/{task}": sigma**2,
            }
        yield {**line, "iter": step, "epoch": 1, "step": step}
    yield {"lesion/bbox_AP25": 0.5, "step": 1}


@pytest.fixture(scope="session")
def made_run(tmp_path_factory):
    """Folder with ``data/`` and ``run/`` of twelve slices."""
    return make_run(tmp_path_factory.mktemp("made"))
