"""A small made-up test set as COCO files, with boxes, masks, patients and volumes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils

SIDE = 96


def encode(mask: np.ndarray) -> dict:
    """Run-length code as it stands in JSON."""
    rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}


def disc(box) -> np.ndarray:
    """Ellipse that fills a box x1, y1, x2, y2."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    x1, y1, x2, y2 = box
    return ((x - (x1 + x2) / 2) / max((x2 - x1) / 2, 1)) ** 2 + (
        (y - (y1 + y2) / 2) / max((y2 - y1) / 2, 1)
    ) ** 2 <= 1


def make_set(seed: int, n_images: int = 24, tied: bool = False, per_patient: int = 3):
    """Annotations and COCO results of boxes and masks; some images empty on either side."""
    rng = np.random.default_rng(seed)
    images, annotations, boxes, masks = [], [], [], []
    for index in range(n_images):
        image_id = 100 - index
        images.append(
            {
                "id": image_id,
                "file_name": f"{index}.png",
                "width": SIDE,
                "height": SIDE,
                "patient_id": f"p{index // per_patient:04d}",
                "volume_id": f"v{index // per_patient:04d}",
                "slice_index": index % per_patient,
                "spacing_mm": [0.8, 0.8, 3.0],
            }
        )
        lesions = []
        for _ in range(rng.integers(0, 4)):
            x, y = rng.uniform(0, 60, 2)
            w, h = rng.uniform(6, 34, 2)
            lesions.append(np.array([x, y, x + w, y + h]))
            mask = disc(lesions[-1])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": [x, y, w, h],
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": encode(mask),
                    "short_axis_mm": 0.8 * min(w, h),
                }
            )
        found = [box + rng.normal(0, 3, 4) for box in lesions for _ in range(2)]
        for x, y in rng.uniform(0, 70, (rng.integers(0, 5), 2)):
            found.append(np.array([x, y, x + 15, y + 12]))
        for box in found:
            box = np.concatenate([np.minimum(box[:2], box[2:] - 1), box[2:]])
            score = float(rng.random())
            row = {
                "image_id": image_id,
                "category_id": 1,
                "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
                "score": round(score, 1) if tied else score,
            }
            boxes.append(row)
            masks.append(row | {"segmentation": encode(disc(box))})
    gt = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "lesion"}],
    }
    return gt, boxes, masks


@pytest.fixture
def coco_set(tmp_path):
    """Writes a made-up set; gives paths of annotations, boxes and masks."""

    def write(seed=0, name="set", **options):
        paths = []
        for part, content in zip(("ann", "bbox", "segm"), make_set(seed, **options), strict=True):
            paths.append(tmp_path / f"{name}.{part}.json")
            paths[-1].write_text(json.dumps(content))
        return paths

    return write
