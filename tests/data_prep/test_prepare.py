"""`python -m data_prep.prepare`: what a run writes, checked from the outside."""

import csv
import json
from collections import Counter

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from pycocotools.coco import COCO

from data_prep import prepare, verify
from data_prep.dataset import coco_entries
from data_prep.dataset.one_volume import intensity
from data_prep.phantoms import abdomen
from data_prep.pseudo_masks.mask_metrics import dice


def run(data, out, *more, bookmarks=None):
    """Run in this process; the exit status."""
    source = [
        "--images",
        str(data / "images"),
        "--bookmarks",
        str(bookmarks or data / "bookmarks.csv"),
    ]
    source += ["--ids", f"{out}_ids.csv"]
    return prepare.main([*source, "--out-dir", str(out), "--quiet", *map(str, more)])


@pytest.fixture(scope="module")
def full(phantom_dataset, tmp_path_factory):
    """A run with everything switched on."""
    out = tmp_path_factory.mktemp("full") / "out"
    options = ["--masks", phantom_dataset / "masks", "--keep-empty", "all", "--max-empty", 2]
    options += ["--context", 1, "--whole-volumes", "--overlays", 3]
    assert run(phantom_dataset, out, *options) == 0
    return out


def annotations(out, name):
    return json.loads((out / "annotations" / f"{name}.json").read_bytes())


def rows(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_bookmark_becomes_one_lesion(full, phantom_dataset):
    marks = rows(phantom_dataset / "bookmarks.csv")
    sets = [annotations(full, split) for split in ("train", "val", "test")]
    lesions = [lesion for content in sets for lesion in content["annotations"]]
    assert len(lesions) == len(marks) > 10
    assert len({lesion["id"] for lesion in lesions}) == len(lesions)
    assert {lesion["mask_source"].split(":")[0] for lesion in lesions} <= {"grabcut", "ellipse"}
    wanted = sorted(
        [
            round(float(m[f"{axis}_{c}{i}"]), 4)
            for axis in ("long", "short")
            for i in "12"
            for c in "xy"
        ]
        for m in marks
    )
    assert sorted(lesion["recist"] for lesion in lesions) == wanted


def test_slices_are_16_bit_and_normalised_as_the_paper_does(full, phantom_dataset):
    ids = {row["volume_id"]: row["volume"] for row in rows(f"{full}_ids.csv")}
    image = annotations(full, "train")["images"][0]
    volume = sitk.GetArrayFromImage(
        sitk.ReadImage(str(phantom_dataset / "images" / ids[image["volume_id"]]))
    )
    written = cv2.imread(str(full / "images" / image["file_name"]), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16 and written.shape == (image["height"], image["width"])
    expected = intensity.normalize(volume[image["slice_index"]]) * 65535
    assert np.array_equal(written, np.round(expected).astype(np.uint16))
    assert image["spacing_mm"] == [3.5, 3.5, 6.0]


def test_files_load_in_pycocotools_and_masks_match_the_truth(full, phantom_dataset, capsys):
    pseudo = COCO(full / "annotations" / "train.json")
    truth = COCO(full / "annotations" / "train_truth.json")
    # The truth lists the other slices with a lesion, too, since they were written.
    whole = annotations(full, "train_whole")
    with_lesion = {lesion["image_id"] for lesion in whole["annotations"]}
    assert set(truth.getImgIds()) == set(pseudo.getImgIds()) | with_lesion
    for lesion in pseudo.dataset["annotations"]:
        mask = pseudo.annToMask(lesion)
        others = truth.loadAnns(truth.getAnnIds(imgIds=lesion["image_id"]))
        best = max(others, key=lambda a: dice(mask, truth.annToMask(a)))
        assert dice(mask, truth.annToMask(best)) > 0.6
        assert best["bbox"] == pytest.approx(lesion["bbox"], abs=4)


def test_recist_variant_has_the_same_images_and_ids_and_no_masks(full):
    for split in ("train", "val", "test"):
        pseudo, plain = annotations(full, split), annotations(full, f"{split}_recist")
        assert plain["images"] == pseudo["images"]
        assert [a["id"] for a in plain["annotations"]] == [a["id"] for a in pseudo["annotations"]]
        for lesion in plain["annotations"]:
            points = np.reshape(lesion["recist"], (4, 2))
            size = points.max(axis=0) - points.min(axis=0) + 1
            assert lesion["bbox"] == pytest.approx([*points.min(axis=0), *size], abs=1e-3)
            assert "segmentation" not in lesion


def test_splits_share_no_patient_and_each_has_lesion_free_volumes_or_slices(full):
    patients = {}
    for split in ("train", "val", "test"):
        content = annotations(full, split)
        patients[split] = {image["patient_id"] for image in content["images"]}
        marked = {lesion["image_id"] for lesion in content["annotations"]}
        empty = [image for image in content["images"] if image["id"] not in marked]
        assert empty
        per_volume = Counter(image["volume_id"] for image in empty)
        assert max(per_volume.values()) == 2
    assert sum(map(len, patients.values())) == len(set().union(*patients.values())) == 9


def test_empty_slices_hold_no_true_voxel_and_keep_away_from_bookmarks(full):
    for split in ("train", "val", "test"):
        truth = annotations(full, f"{split}_truth")
        content = annotations(full, split)
        marked = {lesion["image_id"] for lesion in content["annotations"]}
        empty = {image["id"] for image in content["images"]} - marked
        assert empty and not empty & {lesion["image_id"] for lesion in truth["annotations"]}


def test_neighbours_exist_and_are_those_of_the_same_volume(full):
    for image in annotations(full, "train")["images"]:
        before, after = image["neighbours"]
        z, depth = image["slice_index"], 10
        assert before == coco_entries.file_name(image["volume_id"], max(z - 1, 0))
        assert after == coco_entries.file_name(image["volume_id"], min(z + 1, depth - 1))
        assert (full / "images" / before).is_file() and (full / "images" / after).is_file()


def test_whole_volumes_list_every_slice_with_all_true_lesions(full, phantom_dataset):
    volumes = annotations(full, "volumes_train")
    whole = annotations(full, "train_whole")
    assert len(whole["images"]) == 10 * len(volumes["volumes"])
    ids = {row["volume_id"]: row["volume"] for row in rows(f"{full}_ids.csv")}
    for volume in volumes["volumes"]:
        labels = sitk.GetArrayFromImage(
            sitk.ReadImage(str(phantom_dataset / "masks" / ids[volume["volume_id"]]))
        )
        boxes = [x["box3d"] for x in volumes["lesions"] if x["volume_id"] == volume["volume_id"]]
        assert len(boxes) == labels.max()
        for label, box in enumerate(boxes, start=1):
            z, y, x = np.nonzero(labels == label)
            assert box == [x.min(), y.min(), z.min(), x.max(), y.max(), z.max()]
        images = {i["id"] for i in whole["images"] if i["volume_id"] == volume["volume_id"]}
        area = sum(a["area"] for a in whole["annotations"] if a["image_id"] in images)
        assert area == (labels > 0).sum()


def test_overlays_and_report(full):
    assert len(list((full / "overlays").glob("*.png"))) == 3
    report = json.loads((full / "report.json").read_bytes())
    assert report["errors"] == 0 and (full / "errors.txt").read_text() == ""
    assert report["volumes"] == {"asked": 9, "used": 9}
    assert sum(n["lesions"] for n in report["splits"].values()) == report["bookmarks"]["used"]


def test_no_name_of_a_patient_or_file_is_in_what_is_given_away(full):
    kept = [path for path in full.rglob("*") if path.is_file() and ".state" not in path.parts]
    assert len(kept) > 20
    for path in kept:
        assert b"phantom" not in path.read_bytes()


def test_volume_normalisation_and_window(phantom_dataset, tmp_path):
    for name, options in (("volume", ["volume"]), ("window", ["window:0,655.35"])):
        assert run(phantom_dataset, tmp_path / name, "--normalize", *options) == 0
    image = annotations(tmp_path / "window", "train")["images"][0]
    ids = {row["volume_id"]: row["volume"] for row in rows(tmp_path / "window_ids.csv")}
    path = phantom_dataset / "images" / ids[image["volume_id"]]
    volume = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    files = [tmp_path / name / "images" / image["file_name"] for name in ("window", "volume")]
    windowed, by_volume = (cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files)
    z = image["slice_index"]
    expected = np.clip(volume[z].astype(int) * 100, 0, 65535)
    assert np.abs(windowed.astype(int) - expected).max() <= 1
    assert np.array_equal(by_volume, np.round(intensity.normalize(volume)[z] * 65535))


@pytest.mark.parametrize("method", ["paper", "ellipse", "quadrilateral"])
def test_other_methods_are_recorded(phantom_dataset, tmp_path, method):
    assert run(phantom_dataset, tmp_path / "out", "--mask-method", method) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert sum(n for source, n in report["mask_source"].items() if method in source) > 10


def test_propagated_lesions_are_added_for_training(tmp_path):
    abdomen.write_dataset(tmp_path, 6, n_nodes=2, shape=(12, 64, 64), spacing_mm=(2.0, 2.0, 2.0))
    plain, out = tmp_path / "plain", tmp_path / "out"
    assert run(tmp_path, plain) == run(tmp_path, out, "--propagate", 3, "--context", 1) == 0
    marked, added = annotations(out, "train"), annotations(out, "train_propagated")
    assert [a["recist"] for a in marked["annotations"]] == [
        a["recist"] for a in annotations(plain, "train")["annotations"]
    ]
    # All that is in train.json, and slices near to its bookmarks that are in no other file.
    assert all(entry in added["images"] for entry in marked["images"])
    assert all(entry in added["annotations"] for entry in marked["annotations"])
    more = [a for a in added["annotations"] if a["mask_source"] == "propagated"]
    assert len(more) == len(added["annotations"]) - len(marked["annotations"]) >= 10
    keys = {(i["volume_id"], i["slice_index"]) for i in marked["images"]}
    images = {i["id"]: i for i in added["images"]}
    for lesion in more:
        image = images[lesion["image_id"]]
        volume, z = image["volume_id"], image["slice_index"]
        assert min(abs(z - key) for other, key in keys if other == volume) <= 3
        assert all((out / "images" / name).is_file() for name in image["neighbours"])
    assert len(added["images"]) > len(marked["images"])
    assert verify.main([str(out), "--quiet"]) == 0
    assert not (plain / "annotations" / "train_propagated.json").exists()
    # Without the option again, the file goes.
    assert run(tmp_path, out, "--overwrite") == 0
    assert not (out / "annotations" / "train_propagated.json").exists()
