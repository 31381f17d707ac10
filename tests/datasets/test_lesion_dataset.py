"""The lesion dataset on a hand-made annotation file."""

import json

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules

from mmglan.datasets import LesionDataset


@pytest.fixture(scope="module", autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)


def image(i, **extra):
    return dict(
        id=i,
        file_name=f"v0001/{i:04d}.png",
        width=20,
        height=10,
        patient_id="p0001",
        volume_id="v0001",
        slice_index=i,
        spacing_mm=[0.5, 0.75],
        **extra,
    )


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images/v0001").mkdir(parents=True)
    (tmp_path / "annotations").mkdir()
    for i in range(3):
        pixels = np.full((10, 20), i * 20000, dtype=np.uint16)
        cv2.imwrite(str(tmp_path / f"images/v0001/{i:04d}.png"), pixels)
    lesion = dict(id=1, image_id=1, category_id=1, bbox=[2, 3, 4, 5], area=20, iscrowd=0)
    lesion["segmentation"] = [[2, 3, 6, 3, 6, 8, 2, 8]]
    content = dict(
        images=[
            image(1, neighbours=["v0001/0000.png", "v0001/0002.png"]),
            image(2),
        ],
        annotations=[lesion],
        categories=[dict(id=1, name="lesion")],
    )
    (tmp_path / "annotations/train.json").write_text(json.dumps(content))
    return tmp_path


def build(root, **kwargs):
    return DATASETS.build(
        dict(
            type="LesionDataset",
            data_root=str(root),
            ann_file="annotations/train.json",
            data_prefix=dict(img="images/"),
            **kwargs,
        )
    )


def test_what_is_passed_on(root):
    dataset = build(root)
    assert isinstance(dataset, LesionDataset) and len(dataset) == 2
    info = dataset.get_data_info(0)
    passed = {k: info[k] for k in ("patient_id", "volume_id", "slice_index", "spacing_mm")}
    assert passed == dict(
        patient_id="p0001", volume_id="v0001", slice_index=1, spacing_mm=[0.5, 0.75]
    )
    assert info["neighbours"] == [str(root / f"images/v0001/{i:04d}.png") for i in (0, 2)]
    assert [i["bbox"] for i in info["instances"]] == [[2, 3, 6, 8]]
    assert "neighbours" not in dataset.get_data_info(1)


def test_images_without_lesions_stay_unless_filtered(root):
    assert build(root).get_data_info(1)["instances"] == []
    assert len(build(root, filter_cfg=dict(filter_empty_gt=True))) == 1


@pytest.mark.parametrize("context", [0, 1])
def test_through_the_pipeline(context, root):
    pipeline = [
        dict(type="LoadSlice", context=context),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="PackDetInputs", meta_keys=("img_id", "img_shape", "volume_id", "slice_index")),
    ]
    dataset = build(root, pipeline=pipeline)
    packed = dataset[0]
    steps = (packed["inputs"][:, 0, 0] / 255 * 65535 / 20000).round().tolist()
    assert steps == ([1, 1, 1] if context == 0 else [0, 1, 2])
    sample = packed["data_samples"]
    assert sample.volume_id == "v0001" and sample.slice_index == 1
    assert sample.gt_instances.bboxes.tensor.tolist() == [[2, 3, 6, 8]]
    assert sample.gt_instances.masks.masks.sum() == 20
    empty = dataset[1]["data_samples"].gt_instances
    assert len(empty) == 0 and empty.masks.masks.shape == (0, 10, 20)


def test_missing_file_and_other_classes(root):
    with pytest.raises(FileNotFoundError, match=r"Expected the annotations .*no.json but got"):
        LesionDataset(ann_file=str(root / "no.json"))
    with pytest.raises(ValueError, match=r"Expected categories \['node'\] but got \['lesion'\]"):
        build(root, metainfo=dict(classes=("node",)))


def rewrite(root, change):
    path = root / "annotations/train.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("flag", ["iscrowd", "ignore"])
def test_a_region_to_ignore_is_kept_as_such(root, flag):
    rewrite(root, lambda content: content["annotations"][0].update({flag: 1}))
    (instance,) = build(root).get_data_info(0)["instances"]
    assert instance["ignore_flag"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c["annotations"][0].update(bbox=[2, 3, 0, 5]),
            "train.json: annotation 1: .*1 x",
        ),
        (lambda c: c["annotations"][0].update(area=0), "train.json: annotation 1: .*1 x 1"),
        (lambda c: c["annotations"][0].pop("bbox"), "train.json: annotation 1: Expected bbox"),
        (lambda c: c["annotations"][0].pop("category_id"), r"annotations\[0\]: .*no category_id"),
        (lambda c: c["annotations"][0].pop("image_id"), r"annotations\[0\]: .*no image_id"),
        (lambda c: c["annotations"][0].pop("area"), r"annotations\[0\]: .*no area"),
        (lambda c: c["images"][1].pop("width"), r"train.json: images\[1\]: .*no width"),
        (lambda c: c["images"][0].pop("id"), r"train.json: images\[0\]: .*no id"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(root, change, words):
    rewrite(root, change)
    with pytest.raises(ValueError, match=words):
        build(root)


def test_classes_are_found_by_name(root):
    def two_classes(content):
        content["categories"] = [{"id": 7, "name": "node"}, {"id": 3, "name": "cyst"}]
        for number, annotation in enumerate(content["annotations"]):
            annotation["category_id"] = (7, 3)[number % 2]

    rewrite(root, two_classes)
    dataset = build(root, metainfo=dict(classes=("cyst", "node")))
    assert dataset.cat_ids == [3, 7]
    with pytest.raises(ValueError, match=r"train.json: .*\['nods'\].* mean 'node' for 'nods'"):
        build(root, metainfo=dict(classes=("cyst", "nods")))


@pytest.mark.parametrize("key", ["file_name", "neighbours"])
@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../../outside.png", "v0001/link.png", "linked/0.png"]
)
def test_images_lie_below_the_folder_of_the_images(root, tmp_path_factory, key, name):
    outside = tmp_path_factory.mktemp("outside")
    cv2.imwrite(str(outside / "0.png"), np.zeros((10, 20), np.uint16))
    (root / "images/v0001/link.png").symlink_to(outside / "0.png")
    (root / "images/linked").symlink_to(outside)
    path = root / "annotations/train.json"
    content = json.loads(path.read_text())
    content["images"][0][key] = name if key == "file_name" else [name]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"Expected a path (inside|relative to) the image folder"):
        DATASETS.build(
            dict(
                type="LesionDataset",
                data_root=str(root),
                ann_file="annotations/train.json",
                data_prefix=dict(img="images/"),
                pipeline=[],
            )
        )
