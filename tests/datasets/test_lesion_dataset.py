"""The lesion dataset on a hand-made annotation file."""

import json

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules

from mmglan.datasets import LesionDataset
from mmglan.detections.coco_files import read_ground_truth


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


OTHER = dict(id=4, name="other")


def lesion_of(content):
    return content["annotations"][0]


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
        (lambda c: lesion_of(c).update(bbox=[2, 3, 0, 5]), r"annotations\[0\]: .*at least 1 x 1"),
        (lambda c: lesion_of(c).update(area=0), r"annotations\[0\]: .*1 x 1.* area 0"),
        (lambda c: lesion_of(c).update(area="9"), r"annotations\[0\]: .*area '9'"),
        (
            lambda c: lesion_of(c).update(bbox=[20, 3, 4, 5]),
            r"annotations\[0\]: .*inside its image",
        ),
        (
            lambda c: lesion_of(c).update(category_id=2),
            r"annotations\[0\]: .*1 \(lesion\), but got 2",
        ),
        (lambda c: lesion_of(c).update(image_id=9), r"annotations\[0\]: .*got image_id 9"),
        (lambda c: lesion_of(c).pop("bbox"), r"annotations\[0\]: Expected bbox"),
        (lambda c: lesion_of(c).pop("image_id"), r"annotations\[0\]: .*got image_id None"),
        (lambda c: c["annotations"].append(dict(lesion_of(c))), r"annotations\[1\]: .*got 1 again"),
        (lambda c: c["images"][0].pop("id"), r"images\[0\]: .*id but got None"),
        (lambda c: c["images"][0].update(height=0), r"images\[0\]: Expected height .* got 0"),
        (lambda c: c["categories"].append(dict(id=1, name="a")), r"categories\[1\]: .*again"),
        (
            lambda c: (
                lesion_of(c).pop("category_id"),
                c["categories"].append(dict(id=4, name="a")),
            ),
            r"annotations\[0\]: Expected the category_id of one of several",
        ),
    ],
)
def test_training_and_metric_refuse_the_same_entries_in_the_same_words(root, change, words):
    rewrite(root, change)
    told = []
    for read in (build, lambda root: read_ground_truth(root / "annotations/train.json")):
        with pytest.raises(ValueError, match=rf"train.json: {words}") as caught:
            read(root)
        told.append(str(caught.value))
    assert told[0] == told[1]


@pytest.mark.parametrize("field", ["id", "area", "category_id", "iscrowd"])
def test_training_and_metric_complete_the_same_entries(root, field):
    rewrite(root, lambda content: lesion_of(content).pop(field))
    (lesion,) = read_ground_truth(root / "annotations/train.json").lesions[0]
    assert (lesion["id"], lesion["area"], lesion["category_id"]) == (1, 20, 1)
    (instance,) = build(root).get_data_info(0)["instances"]
    assert instance["bbox"] == [2, 3, 6, 8] and instance["bbox_label"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["images"][1].pop("width"), r"images\[1\]: .*no width"),
        (lambda c: c.pop("categories"), "Expected the list categories"),
    ],
)
def test_what_training_needs_besides(root, change, words):
    rewrite(root, change)
    read_ground_truth(root / "annotations/train.json")
    with pytest.raises(ValueError, match=rf"train.json: {words}"):
        build(root)


def test_a_lesion_without_the_mask_that_the_pipeline_loads(root):
    rewrite(root, lambda content: lesion_of(content).pop("segmentation"))
    build(root)
    pipeline = [dict(type="LoadAnnotations", with_bbox=True, with_mask=True)]
    with pytest.raises(ValueError, match=r"train.json: annotation 1: Expected a segmentation"):
        build(root, pipeline=pipeline)


def test_nothing_left_to_train_on(root):
    rewrite(root, lambda content: content["annotations"].clear())
    options = dict(filter_cfg=dict(filter_empty_gt=True))
    with pytest.raises(ValueError, match=r"train.json: .*none of 2 is left"):
        build(root, **options)
    assert len(build(root, **options, test_mode=True)) == 2


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
