"""TCIA CT Lymph Nodes as downloaded, 8 + 8 cases, to the metrics of Table 4."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as rle

from data_prep import prepare
from mmglan.evaluation.lesion_metric import LesionMetric
from mmglan.reporting.paper_tables import TABLES

COLUMNS = [key.name for key in TABLES[3].columns]


@pytest.fixture(scope="module", params=["ABD", "MED"])
def annotations(request, tmp_path_factory):
    """Cases of two nodes on three slices each, prepared in three folds."""
    root = tmp_path_factory.mktemp(request.param)
    rng = np.random.default_rng(0)
    for k in range(8):
        case = f"{request.param}_LYMPH_{k:03d}"
        labels = np.zeros((8, 48, 48), np.uint8)
        labels[1:4, 10:18, 10:20], labels[4:7, 30:36, 24:34] = 1, 2
        for array, name in (
            (rng.normal(40, 10, labels.shape).astype(np.int16) + 80 * (labels > 0), "CT/{}.nii.gz"),
            (labels, "MED_ABD_LYMPH_MASKS/{0}/{0}_mask.nii.gz"),
        ):
            path = root / name.format(case)
            path.parent.mkdir(parents=True, exist_ok=True)
            image = sitk.GetImageFromArray(array.astype(np.int16))
            image.SetSpacing((0.8, 0.8, 2.0))
            sitk.WriteImage(image, str(path))
    masks = root / "MED_ABD_LYMPH_MASKS"
    call = ["--images", root / "CT", "--bookmarks", masks, "--bookmark-slices", "all"]
    call += ["--masks", masks, "--folds", 3, "--whole-volumes", "--normalize", "window:-175,275"]
    call += ["--out-dir", root / "data", "--overlays", 0, "--quiet"]
    assert prepare.main(list(map(str, call))) == 0
    return root / "data/annotations"


def load(path):
    return json.loads(path.read_text())


def test_training_has_the_voxel_masks_of_every_slice(annotations):
    tested = []
    for fold in range(3):
        folder = annotations / f"fold{fold}"
        patients = {}
        for split in ("train", "val", "test"):
            truth = load(folder / f"{split}_truth.json")
            patients[split] = {image["patient_id"] for image in truth["images"]}
            assert len(truth["images"]) == len(truth["annotations"]) == 6 * len(patients[split])
            assert {a["mask_source"] for a in truth["annotations"]} == {"truth"}
            assert len(load(folder / f"{split}_whole.json")["images"]) == 8 * len(patients[split])
        assert not patients["train"] & patients["test"] and len(set.union(*patients.values())) == 8
        tested += patients["test"]
    assert sorted(tested) == sorted(set(tested)) and len(tested) == 8


def oracle(folder, shift=0):
    """Detect the lesions of the test split, moved by some columns."""
    metric = LesionMetric(
        str(folder / "test_whole.json"), volumes_file=str(folder / "volumes_test.json")
    )
    truth = load(folder / "test_whole.json")
    for image in truth["images"]:
        lesions = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        masks = np.array([rle.decode(a["segmentation"]) for a in lesions]).reshape(-1, 48, 48)
        masks = np.roll(masks, shift, axis=2).astype(bool)
        boxes = np.array([a["bbox"] for a in lesions], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes[:, 0::2] += shift
        found = InstanceData(
            bboxes=torch.tensor(boxes),
            scores=torch.full((len(lesions),), 0.9),
            labels=torch.zeros(len(lesions), dtype=torch.long),
            masks=torch.tensor(masks),
        )
        metric.process(None, [dict(img_id=image["id"], pred_instances=found)])
    return metric.evaluate(len(truth["images"]))


def test_oracle_detections_give_100_percent_in_2d_and_3d_boxes_and_masks(annotations):
    """Boxes and masks of 10 columns moved by 8 have an IoU of 2 / 18 > 0.1, by 9 of 1 / 19."""
    for shift, expected in ((0, 1.0), (8, 1.0), (9, 0.0)):
        found = oracle(annotations / "fold1", shift)
        assert len(COLUMNS) == 4
        for name in COLUMNS:
            assert found[f"lesion/{name}"] == pytest.approx(expected), (shift, name)
