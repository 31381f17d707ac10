"""Annotation files, written volume by volume."""

import io
import json

import pytest

from data_prep.atomic_files import json_bytes
from data_prep.dataset import annotation_files, coco_entries, collect
from data_prep.dataset.annotation_files import ListFile
from data_prep.dataset.one_volume.volume_result import (
    Lesion3D,
    SliceLesion,
    SliceResult,
    VolumeResult,
)
from data_prep.dataset.output_folder import OutputFolder
from data_prep.dataset.splits.split import SPLITS
from data_prep.dataset.splits.split_plan import Plan, SplitOptions, plan_splits


def result(number, patient, gt=False):
    """A volume of three slices, the last one for context only, with a lesion on the second."""
    fields = {"bbox": [0, 0, 5, 4], "area": 9, "recist": [0, 0, 4, 0, 2, 1, 2, 3]}
    fields |= {"segmentation": {"size": [4, 5]}, "long_axis_mm": 4.0, "short_axis_mm": 2.0}
    gt_lesion = SliceLesion(2, lesion=7, mask_source="truth", **fields)
    return VolumeResult(
        f"v{number:04d}",
        patient,
        n_bookmarks=1,
        shape_zyx=[3, 4, 5],
        spacing_mm=[1.0, 1.0, 3.0],
        slices=[
            SliceResult(z, kind, f"{number}-{z}")
            for z, kind in enumerate(("empty", "lesion", "extra"))
        ],
        lesions=[SliceLesion(1, mask_source="ellipse", **fields)],
        gt_lesions=[gt_lesion] if gt else None,
        gt_lesions_3d=[Lesion3D(7, [0, 0, 2, 4, 3, 2], 2, 4.0, 2.0)] if gt else [],
    )


@pytest.fixture
def written(tmp_path):
    def write(results, given, **options):
        found = collect.collect(results)
        (plan,), _ = plan_splits(found, SplitOptions(given=given))
        with OutputFolder(tmp_path / "out", {}) as out:
            annotation_files.write(out, lambda: iter(results), found, plan, **options)
        files = (tmp_path / "out" / "annotations").glob("*.json")
        contents = {path.stem: path.read_bytes() for path in files}
        for content in contents.values():
            assert content == json_bytes(json.loads(content))
        return {name: json.loads(content) for name, content in contents.items()}

    return write


def test_entries_are_numbered_through_all_volumes():
    broken = result(2, "b", gt=True)
    broken.leave_out("unreadable")
    results = [result(1, "a"), broken, result(3, "c", gt=True)]
    one, none, three = annotation_files.number(results, context=1)
    assert [image["id"] for image in one.images + three.images] == [1, 2, 3, 4, 5, 6]
    assert (none.images, none.lesions, none.volume) == ([], [], None)
    assert [(a["id"], a["image_id"]) for a in one.lesions + three.lesions] == [(1, 2), (2, 5)]
    assert three.volume["id"] == 1 and three.lesions_3d[0]["id"] == 1 and one.volume is None
    (gt,) = three.gt_lesions
    assert (gt["id"], gt["image_id"], gt["category_id"], gt["iscrowd"]) == (1, 6, 1, 0)
    assert (gt["lesion"], gt["mask_source"]) == (7, "truth") and "slice_index" not in gt
    assert "site" not in gt and "lesion" not in one.lesions[0]
    assert three.lesions_3d[0]["volume_id"] == "v0003" and three.lesions_3d[0]["key_slice"] == 2
    assert three.images[1]["neighbours"] == ["v0003/v0003_0000.png", "v0003/v0003_0002.png"]
    assert "neighbours" not in three.images[2]
    assert (one.images[0]["width"], one.images[0]["height"]) == (5, 4)


def test_each_entry_stands_in_the_files_of_its_split(written):
    results = [result(1, "a"), result(2, "b"), result(3, "a")]
    files = written(results, {"a": "train", "b": "val"})
    assert sorted(files) == sorted(f"{s}{k}" for s in SPLITS for k in ("", "_recist"))
    assert [image["id"] for image in files["train"]["images"]] == [1, 2, 7, 8]
    assert [lesion["id"] for lesion in files["train"]["annotations"]] == [1, 3]
    assert [lesion["image_id"] for lesion in files["val"]["annotations"]] == [5]
    assert files["test"] == coco_entries.empty()
    (box,) = files["val_recist"]["annotations"]
    assert box["bbox"] == [0.0, 0.0, 5.0, 4.0] and "segmentation" not in box
    assert files["val_recist"]["images"] == files["val"]["images"]


def test_with_ground_truth_whole_volumes_are_those_that_have_it(written):
    results = [result(1, "a"), result(2, "b", gt=True)]
    files = written(results, {"a": "train", "b": "train"}, whole=("train", "val", "test"))
    assert [image["id"] for image in files["train"]["images"]] == [1, 2, 4, 5]
    # The lesion of the mask lies on a slice that is not listed: it is one of the true slices.
    assert [image["id"] for image in files["train_truth"]["images"]] == [4, 5, 6]
    assert [lesion["image_id"] for lesion in files["train_truth"]["annotations"]] == [6]
    assert [image["id"] for image in files["train_whole"]["images"]] == [4, 5, 6]
    assert [lesion["image_id"] for lesion in files["train_whole"]["annotations"]] == [6]
    assert [volume["volume_id"] for volume in files["volumes_train"]["volumes"]] == ["v0002"]
    assert [lesion["id"] for lesion in files["volumes_train"]["lesions"]] == [1]
    assert files["volumes_val"] == {"lesions": [], "volumes": []}


def test_a_3d_lesion_of_a_divided_volume_goes_with_its_key_slice(tmp_path, written):
    results = [result(1, "a", gt=True)]
    found = collect.collect(results)
    plan = Plan("", found.slices["index"].astype("i1"), by_patient=False)
    with OutputFolder(tmp_path / "blocks", {}) as out:
        annotation_files.write(out, lambda: iter(results), found, plan)
    lesions = {}
    for split in SPLITS:
        content = (tmp_path / "blocks" / "annotations" / f"volumes_{split}.json").read_bytes()
        lesions[split] = [lesion["id"] for lesion in json.loads(content)["lesions"]]
    assert lesions == {"train": [], "val": [], "test": [1]}


def test_a_failure_leaves_no_file_behind(tmp_path):
    results = [result(1, "a"), result(2, "b")]
    found = collect.collect(results)
    (plan,), _ = plan_splits(found, SplitOptions())
    with (
        OutputFolder(tmp_path, {}) as out,
        pytest.raises(AttributeError),
    ):
        annotation_files.write(out, lambda: iter([results[0], {}]), found, plan)
    assert not (tmp_path / "annotations").exists()
    assert not list((tmp_path / ".state").glob("tmp/*"))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_lists_are_filled_one_after_another(n):
    stream = io.BytesIO()
    file = ListFile(stream, {"b": [], "a": [], "c": {"d": 1}})
    for name in "ab":
        file.next_list()
        for i in range(n):
            file.add({name: i})
    file.end()
    lists = {name: [{name: i} for i in range(n)] for name in "ab"}
    assert stream.getvalue() == json_bytes(lists | {"c": {"d": 1}})
