"""The LGG converter: both layouts, one bookmark per lesion, errors that name the file."""

import csv
import json

import cv2
import numpy as np
import pytest
import SimpleITK as sitk

import mmglan
from data_prep.bookmarks.locate import shape_fault
from data_prep.bookmarks.recist import Bookmark, measure
from data_prep.public_sets import lgg
from data_prep.public_sets.key_slices import every_slice_bookmarks, key_slice_bookmarks
from mmglan.commands import public_set


def rows_of(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def download(tmp_path):
    """Two patients of 12 slices; slice numbers count from 1 and need numeric order."""
    for patient in ("TCGA_CS_4941_19960909", "TCGA_DU_0001_20000101"):
        folder = tmp_path / "kaggle_3m" / patient
        folder.mkdir(parents=True)
        for number in range(1, 13):
            image = np.zeros((40, 50, 3), np.uint8)
            image[..., lgg.FLAIR] = number
            mask = np.zeros((40, 50), np.uint8)
            if number in (9, 10, 11):
                half = {9: 4, 10: 7, 11: 5}[number]
                mask[20 - half : 21 + half, 25 - half - 3 : 26 + half + 3] = 255
            mask[0, 0] = 255  # a piece of one pixel
            cv2.imwrite(str(folder / f"{patient}_{number}.tif"), image)
            cv2.imwrite(str(folder / f"{patient}_{number}_mask.tif"), mask)
    return tmp_path / "kaggle_3m"


def test_download(download, tmp_path, capsys):
    assert lgg.main([str(download), "--out-dir", str(tmp_path / "out"), "--noise", "0"]) == 0
    assert "2 patients, 2 bookmarks" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out" / "bookmarks.csv")
    assert [row["patient"] for row in rows] == ["TCGA_CS_4941", "TCGA_DU_0001"]
    # The largest slice is number 10, index 9; its corners span 20 x 14 pixels.
    assert rows[0]["slice"] == "9" and rows[0]["volume"] == "TCGA_CS_4941.nii.gz"
    points = np.array([float(value) for value in list(rows[0].values())[3:]]).reshape(4, 2)
    assert np.hypot(*(points[1] - points[0])) == pytest.approx(np.hypot(20, 14), abs=0.01)
    image = sitk.GetArrayFromImage(
        sitk.ReadImage(str(tmp_path / "out" / "images" / "TCGA_CS_4941.nii.gz"))
    )
    assert image[:, 0, 0].tolist() == list(range(1, 13))
    mask = sitk.GetArrayFromImage(
        sitk.ReadImage(str(tmp_path / "out" / "masks" / "TCGA_CS_4941_mask.nii.gz"))
    )
    assert mask.max() == 1 and mask[0].max() == 0 and mask[9].sum() == 15 * 21


def test_converted_volumes_give_the_same_bookmarks(download, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    lgg.convert(download, first)
    lgg.convert(first, second)
    assert (first / "bookmarks.csv").read_bytes() == (second / "bookmarks.csv").read_bytes()
    assert not (second / "images").exists()


def test_noise_of_a_lesion_does_not_depend_on_others():
    labels = np.zeros((3, 30, 30), np.uint8)
    labels[1, 5:15, 5:12] = 2
    alone = [b.points().tolist() for _, b in key_slice_bookmarks(labels, "a", 0.05)]
    labels[2, 20:28, 20:28] = 1
    both = [b.points().tolist() for _, b in key_slice_bookmarks(labels, "a", 0.05)]
    assert both[1] == alone[0]
    assert alone != [b.points().tolist() for _, b in key_slice_bookmarks(labels, "a", 0.0)]


def test_one_command_to_a_prepared_set(download, tmp_path):
    out = tmp_path / "out"
    words = ["lgg", str(download), "--out-dir", str(out), "--split", "0,0,1", "--quiet"]
    assert public_set.main([*words, "--overlays", "0"]) == 0
    annotations = out / "data/annotations"
    key, whole, volumes = (
        json.loads((annotations / f"{name}.json").read_text())
        for name in ("test", "test_whole", "volumes_test")
    )
    assert [image["slice_index"] for image in key["images"]] == [9, 9]
    assert len(whole["images"]) == 24 and len(whole["annotations"]) == 6
    assert len(volumes["lesions"]) == 2
    gt, in_3d = annotations / "test_whole.json", annotations / "volumes_test.json"
    rows = [
        {"image_id": a["image_id"], "category_id": 1, "score": 0.9, "bbox": a["bbox"]}
        for a in whole["annotations"]
    ]
    found = mmglan.evaluate(gt, rows, volumes=in_3d, bootstrap=0).by_name()
    assert found["bbox_AP50"] == found["bbox3d_FROC_IoBB30_mean"] == 1


def test_every_piece_on_every_slice():
    labels = np.zeros((4, 30, 30), np.uint8)
    labels[1, 5:15, 5:12] = labels[2, 5:13, 5:12] = 2
    labels[2, 20:28, 20:28] = 2
    labels[3, 0, 0] = 2  # too small for two axes
    found = list(every_slice_bookmarks(labels, "a", 0.0))
    assert [z for z, _ in found] == [1, 2, 2]
    assert [b.points()[:, 0].max() for _, b in found] == [11, 11, 27]
    noisy = [b.points().tolist() for _, b in every_slice_bookmarks(labels, "a", 0.05)]
    assert noisy != [b.points().tolist() for _, b in found] and noisy[1] != noisy[2]


def test_axes_swap_where_noise_makes_the_short_one_longer():
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[0, 10:30, 10:30] = 1
    for seed in range(20):
        ((_, bookmark),) = key_slice_bookmarks(labels, "a", 0.2, seed)
        assert bookmark.long_length() >= bookmark.short_length()


def test_noise_never_makes_what_prepare_refuses():
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[0, 10:30, 12:21] = 1
    spacing = (2.7, 1.2)  # the lesion is nearly square in mm
    drawn = [next(key_slice_bookmarks(labels, "a", 0.1, s, spacing))[1] for s in range(200)]

    def faults(points: np.ndarray) -> list[str | None]:
        as_written = points.round(2)
        return [shape_fault(Bookmark(four[:2], four[2:]), spacing) for four in as_written]

    assert not any(faults(np.array([bookmark.points() for bookmark in drawn])))
    exact = next(key_slice_bookmarks(labels, "a", 0.0, 0, spacing))[1]
    noise = np.random.default_rng(0).normal(0, 0.1 * exact.short_length(), (200, 4, 2))
    assert any(faults(exact.points() + noise))


def test_axes_are_those_in_mm():
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[0, 10:30, 10:25] = 1
    ((_, square),) = key_slice_bookmarks(labels, "a", 0.0)
    ((_, oblong),) = key_slice_bookmarks(labels, "a", 0.0, spacing_xy=(3.0, 1.0))
    assert square.points().tolist() != oblong.points().tolist()
    assert oblong.points().tolist() == measure(labels[0] > 0, (3.0, 1.0)).points().tolist()


@pytest.mark.parametrize("broken", ["mask", "size", "empty", "none"])
def test_errors_name_the_file(download, tmp_path, capsys, broken):
    folder = download / "TCGA_DU_0001_20000101"
    slice_mask = folder / f"{folder.name}_3_mask.tif"
    source, named = download, slice_mask.name
    if broken == "mask":
        slice_mask.unlink()
    elif broken == "size":
        cv2.imwrite(str(slice_mask), np.zeros((8, 8), np.uint8))
        named = f"{folder.name}_3.tif"
    elif broken == "empty":
        for path in folder.iterdir():
            path.unlink()
        named = folder.name
    else:
        source, named = tmp_path / "nothing", "nothing"
    assert lgg.main([str(source), "--out-dir", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and named in message
    assert not (tmp_path / "out" / "bookmarks.csv").exists()
