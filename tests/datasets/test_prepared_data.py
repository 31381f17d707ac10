"""What `data_prep.prepare` writes loads in the readers of detection frameworks."""

import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmdet.utils import register_all_modules
from pycocotools import mask as rle
from pycocotools.coco import COCO

from data_prep import prepare
from data_prep.phantoms import abdomen


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    abdomen.write_dataset(folder, 4, 3, n_empty=1, shape=(8, 80, 80), spacing_mm=(3.5, 3.5, 6.0))
    source = ["--images", folder / "images", "--bookmarks", folder / "bookmarks.csv"]
    source += ["--masks", folder / "masks", "--keep-empty", "volumes", "--max-empty", 2]
    source += ["--split", "1,0,0", "--out-dir", folder / "out", "--quiet", "--overlays", 0]
    assert prepare.main([*map(str, source)]) == 0
    return folder / "out"


@pytest.mark.parametrize("name", ["train", "train_recist", "train_truth"])
def test_mmdet_loads_images_boxes_and_masks(data, name):
    register_all_modules(init_default_scope=True)
    content = json.loads((data / "annotations" / f"{name}.json").read_bytes())
    with_mask = name != "train_recist"
    dataset = CocoDataset(
        data_root=str(data),
        ann_file=f"annotations/{name}.json",
        data_prefix={"img": "images/"},
        metainfo={"classes": ("lesion",)},
        filter_cfg={"filter_empty_gt": False},
        pipeline=[
            {"type": "LoadImageFromFile", "color_type": "unchanged"},
            {"type": "LoadAnnotations", "with_bbox": True, "with_mask": with_mask},
        ],
    )
    assert len(dataset) == len(content["images"])
    found = 0
    for index, image in enumerate(content["images"]):
        item = dataset[index]
        assert item["img"].shape[:2] == (image["height"], image["width"])
        wanted = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        boxes = np.array([a["bbox"] for a in wanted]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        assert item["gt_bboxes"].tensor.numpy() == pytest.approx(boxes)
        assert item["gt_bboxes_labels"].tolist() == [0] * len(wanted)
        if with_mask:
            areas = [mask.sum() for mask in item["gt_masks"].to_ndarray()]
            assert areas == [a["area"] for a in wanted]
        found += len(wanted)
    assert found == len(content["annotations"]) > 5
    no_lesion = {i["id"] for i in content["images"]} - {
        a["image_id"] for a in content["annotations"]
    }
    assert len(no_lesion) == 2


def test_what_detectron_style_readers_ask_for(data):
    """The steps of such a reader: contiguous classes, unique ids, RLE, known keys."""
    coco = COCO(data / "annotations" / "train.json")
    classes = {v: i for i, v in enumerate(sorted(coco.getCatIds()))}
    ids = sorted(coco.imgs)
    records = zip(coco.loadImgs(ids), [coco.imgToAnns[i] for i in ids], strict=True)
    annotation_ids = [a["id"] for lesions in coco.imgToAnns.values() for a in lesions]
    assert len(set(annotation_ids)) == len(annotation_ids) > 5
    for record, lesions in records:
        assert (data / "images" / record["file_name"]).is_file()
        assert record["height"] == record["width"] == 80
        for lesion in lesions:
            assert lesion["image_id"] == record["id"] and lesion.get("ignore", 0) == 0
            assert classes[lesion["category_id"]] == 0 and lesion["iscrowd"] == 0
            segmentation = lesion["segmentation"]
            assert isinstance(segmentation["counts"], str) and segmentation["size"] == [80, 80]
            assert rle.decode(segmentation).sum() == lesion["area"]
            x, y, w, h = lesion["bbox"]
            assert 0 <= x < x + w <= 80 and 0 <= y < y + h <= 80
