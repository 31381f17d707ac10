"""PI-CAI from the layout of its download to a prepared set."""

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk

import mmglan
from data_prep.public_sets import picai
from mmglan.commands import public_set

LABELS = "picai_labels/csPCa_lesion_delineations/human_expert"
# Slices run to the feet, rows are tilted by 10 degrees.
TILT = np.deg2rad(10)
DIRECTION = (1, 0, 0, 0, np.cos(TILT), np.sin(TILT), 0, np.sin(TILT), -np.cos(TILT))
SHAPE = (6, 40, 40)


def write(path, array, direction=DIRECTION):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.5, 3.0))
    image.SetOrigin((-20, 15, 60))
    image.SetDirection(direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    """Six studies of five patients: 10000 has two lesions, 10001 none, 10002 one of two grades."""
    root = tmp_path_factory.mktemp("picai")
    rng = np.random.default_rng(0)
    for fold, name in enumerate(
        ["10000_1000000", "10001_1000001", "10002_1000002", "10003_1000003", "10003_1000004"]
    ):
        folder = root / f"picai_public_images_fold{fold}" / name.partition("_")[0]
        labels = np.zeros(SHAPE, np.uint8)
        if name != "10001_1000001":
            labels[2, 10:18, 8:20] = 3
            labels[3, 10:16, 8:16] = 3
        if name == "10000_1000000":
            labels[4, 25:31, 25:31] = 2
        if name == "10002_1000002":
            labels[2, 18:20, 8:20] = 5
        for sequence in ("t2w", "adc", "hbv", "sag", "cor"):
            array = rng.normal(200, 10, SHAPE).astype(np.int16)
            write(folder / f"{name}_{sequence}.mha", array + 100 * (labels > 0).astype(np.int16))
        kind = "Pooch25" if name == "10003_1000004" else "resampled"
        write(root / LABELS / kind / f"{name}.nii.gz", labels)
        write(root / LABELS / "original" / f"{name}.nii.gz", labels[:, ::2, ::2])
    write(root / "picai_public_images_fold0/10004/10004_1000005_t2w.mha", labels.astype(np.int16))
    write(root / LABELS / "resampled" / "10009_1000009.nii.gz", labels)
    return root


@pytest.fixture(scope="module")
def prepared(download, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    words = ["picai", str(download), "--out-dir", str(out), "--split", "0,0,1", "--quiet"]
    assert public_set.main([*words, "--overlays", "0"]) == 0
    return out


def load(path):
    return json.loads(path.read_text())


def test_bookmarks_and_lesion_free_studies(prepared):
    rows = list(csv.DictReader((prepared / "source/bookmarks.csv").open()))
    first = "picai_public_images_fold0/10000/10000_1000000_t2w.mha"
    assert [row["volume"] for row in rows].count(first) == 2
    assert [row["patient"] for row in rows if row["status"] == "complete"] == ["10001"]
    assert [row["patient"] for row in rows].count("10003") == 2 and len(rows) == 6


def test_training_has_one_slice_per_lesion_and_some_without(prepared):
    content = load(prepared / "data/annotations/test.json")
    z = {image["id"]: image["slice_index"] for image in content["images"]}
    # Stored slices run to the feet: slice 2 of 6 is the axial slice 3, 4 is 1.
    assert sorted(z[a["image_id"]] for a in content["annotations"]) == [1, 3, 3, 3, 3]
    assert len({image["patient_id"] for image in content["images"]}) == 4
    lengths = sorted(a["long_axis_mm"] for a in content["annotations"])
    # Without noise the corners of 12 x 8 pixels of 0.5 mm are 6.5 mm apart.
    assert lengths[1] == pytest.approx(0.5 * np.hypot(11, 7), abs=1)


def test_oracle_detections_give_100_percent(prepared):
    folder = prepared / "data/annotations"
    whole, volumes = load(folder / "test_whole.json"), load(folder / "volumes_test.json")
    assert len(whole["images"]) == 5 * 6 and len(volumes["volumes"]) == 5
    # Touching grades of one piece are one lesion.
    assert len(volumes["lesions"]) == 5 and len(whole["annotations"]) == 4 * 2 + 1
    rows = [
        {"image_id": a["image_id"], "category_id": 1, "score": 0.9, "bbox": a["bbox"]}
        for a in whole["annotations"]
    ]
    found = mmglan.evaluate(
        folder / "test_whole.json", rows, volumes=folder / "volumes_test.json", bootstrap=0
    ).by_name()
    for name in ("bbox_AP50", "bbox_FROC25_mean", "bbox3d_FROC_IoBB30_mean"):
        assert found[name] == 1, name


def test_the_split_does_not_depend_on_what_is_there():
    drawn = [picai.split_of(str(patient)) for patient in range(10000, 11476)]
    shares = [drawn.count(split) / len(drawn) for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.70, 0.15, 0.15], abs=0.03)


def test_what_is_left_out_is_counted_and_a_second_run_writes_nothing_new(download, tmp_path):
    first = picai.convert(download, tmp_path)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "masks").rglob("*.nii.gz")}
    assert (first.patients, first.bookmarks, len(times)) == (4, 5, 5)
    assert first.notes == (
        "1 images without a delineation: left out.",
        "1 delineations without an image: left out.",
    )
    assert picai.convert(download, tmp_path) == first
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "masks").rglob("*.nii.gz")}


@pytest.mark.parametrize("wrong", ["empty", "twice", "labels"])
def test_errors_name_what_is_missing(tmp_path, capsys, wrong):
    images = {"empty": [], "twice": ["a/1", "b/1"], "labels": ["a/1"]}[wrong]
    for folder in images:
        write(tmp_path / folder / "1_2_t2w.mha", np.zeros(SHAPE, np.int16))
    words = ["picai", str(tmp_path), "--out-dir", str(tmp_path / "out")]
    assert public_set.main(words) == 2
    message = {"empty": "*_t2w.mha", "twice": "once", "labels": "resampled/*.nii.gz"}[wrong]
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_options_that_the_command_sets_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        public_set.main(["picai", str(tmp_path), "--out-dir", str(tmp_path), "--masks=x"])
    assert "expected no --masks=x" in capsys.readouterr().err
