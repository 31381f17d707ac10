"""`prepare --keep-empty`: what is called lesion-free holds no lesion that anyone named."""

import json

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid
from said import says

from data_prep import prepare, verify
from data_prep.prepare_input import UNKNOWN_VOLUME

HEADER = "volume,slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"
AXES = "12,20,28,20,20,15,20,25"


def volume(path, seed=0):
    array = np.random.default_rng(seed).integers(0, 300, (9, 40, 40)).astype(np.int16)
    array[:, 15:26, 12:29] += 2000
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 6.0))
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(image, str(path))


def kept(folder, bookmarks, keep="all", status=0, more=()):
    """Lesion-free slices by volume id, and the notes of the report."""
    options = ["--keep-empty", keep, "--split", "1,0,0", "--overlays", "0", "--quiet", *more]
    source = ["--images", str(folder / "images"), "--bookmarks", str(bookmarks)]
    assert prepare.main([*source, "--out-dir", str(folder / "out"), *options]) == status
    content = json.loads((folder / "out" / "annotations" / "train.json").read_bytes())
    marked = {lesion["image_id"] for lesion in content["annotations"]}
    empty = {}
    for image in content["images"]:
        if image["id"] not in marked:
            empty.setdefault(image["volume_id"], []).append(image["slice_index"])
    report = json.loads((folder / "out" / "report.json").read_bytes())
    return empty, report["volumes"]["asked"], report["notes"]


def test_a_folder_named_by_its_series_is_no_second_volume(tmp_path, make_series):
    uid = generate_uid()
    make_series("images/case", 6, series=uid)
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\ncase#{uid},2,{AXES}\n")
    assert kept(tmp_path, marks, "volumes")[:2] == ({}, 1)


def test_a_folder_around_the_slices_is_no_second_volume(tmp_path, make_series):
    make_series("images/case/study/series", 6)
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\ncase,2,{AXES}\n")
    assert kept(tmp_path, marks, "volumes")[:2] == ({}, 1)


@pytest.mark.parametrize("broken", [f"b.mha,1,x{AXES}", f"b.mha,1,{AXES},9", "b.mha,1,2,3"])
def test_a_volume_with_a_broken_row_has_no_lesion_free_slices(tmp_path, broken):
    for number, name in enumerate("abc"):
        volume(tmp_path / "images" / f"{name}.mha", number)
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\na.mha,1,{AXES}\n{broken}\n")
    empty, asked, notes = kept(tmp_path, marks, status=1)
    assert empty == {"v0001": [4, 5, 6, 7, 8], "v0002": list(range(9))}  # a and c
    assert asked == 2
    assert UNKNOWN_VOLUME not in notes


def test_nor_has_one_with_sound_rows_beside_the_broken_one(tmp_path):
    volume(tmp_path / "images" / "a.mha")
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\na.mha,1,{AXES}\na.mha,5,nil{AXES}\n")
    assert kept(tmp_path, marks, status=1)[0] == {}


def test_a_refused_row_of_no_known_volume_is_noted(tmp_path):
    volume(tmp_path / "images" / "a.mha")
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\na.mha,1,{AXES}\nA.mha,5,{AXES}\n")
    empty, _, notes = kept(tmp_path, marks, status=1)
    assert empty == {"v0001": [4, 5, 6, 7, 8]}
    assert UNKNOWN_VOLUME in notes


def test_a_volume_with_a_line_that_crosses_none_has_no_lesion_free_slices(tmp_path, make_markups):
    volume(tmp_path / "images" / "a.mha")
    lines = [[(12, 20, 6), (28, 20, 6)], [(20, 15, 6), (20, 25, 6)], [(5, 5, 48), (9, 5, 48)]]
    assert kept(tmp_path, make_markups(lines, "a.mrk.json"), status=1)[0] == {}


def test_a_volume_with_a_label_too_small_has_no_lesion_free_slices(tmp_path):
    volume(tmp_path / "images" / "a.mha")
    labels = np.zeros((9, 40, 40), np.uint8)
    labels[1, 15:26, 12:29] = 1
    labels[8, 3, 3] = 2
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((1.0, 1.0, 6.0))
    sitk.WriteImage(image, str(tmp_path / "a_mask.mha"))
    assert kept(tmp_path, tmp_path / "a_mask.mha", status=1)[0] == {}


def test_a_changed_volume_with_a_number_sign_in_its_name_is_done_again(tmp_path):
    path = tmp_path / "images" / "case #1.mha"
    volume(path)
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\ncase #1.mha,1,{AXES}\n")
    pictures = []
    for seed in (0, 1):
        volume(path, seed)
        kept(tmp_path, marks)
        pictures.append((tmp_path / "out" / "images" / "v0001" / "v0001_0001.png").read_bytes())
    assert pictures[0] != pictures[1]


def test_an_output_folder_among_the_images_holds_no_volumes(tmp_path):
    volume(tmp_path / "images" / "a.mha")
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\na.mha,1,{AXES}\n")
    options = ["--keep-empty", "all", "--overlays", "0", "--quiet"]
    source = ["--images", str(tmp_path / "images"), "--bookmarks", str(marks)]
    out = tmp_path / "images" / "out"
    for _ in range(2):  # the second run finds the slices of the first
        assert prepare.main([*source, "--out-dir", str(out), *options]) == 0
    assert json.loads((out / "report.json").read_bytes())["volumes"]["asked"] == 1


def test_multi_frame_files_are_found_once_under_either_name(tmp_path, make_multiframe):
    for number, name in enumerate(("alone/a.dcm", "both/a.dcm", "both/b.dcm", "other/a.dcm")):

        def turned(data, by=2 * number):  # no volume is the copy of another
            data.PixelData = data.PixelData[by:] + data.PixelData[:by]

        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        make_multiframe(f"images/{name}", edit=turned)
    marks = tmp_path / "marks.csv"
    axes = "4,8,14,8,9,5,9,11"
    rows = (f"{name},1,{axes}\n" for name in ("alone/a.dcm", "both/a.dcm"))
    marks.write_text(f"{HEADER}\n{''.join(rows)}")
    empty, asked, _ = kept(tmp_path, marks, "volumes")
    assert empty == {"v0003": [0, 1, 2, 3], "v0004": [0, 1, 2, 3]}  # both/b.dcm and other
    assert asked == 4


@pytest.mark.parametrize("options", [[], ["--context", "1"]])
def test_slices_that_show_nothing_are_not_kept(tmp_path, options):
    path = tmp_path / "images" / "a.mha"
    volume(path)
    image = sitk.ReadImage(str(path))
    image[:, :, 6] = 0
    sitk.WriteImage(image, str(path))
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\na.mha,1,{AXES}\n")
    empty, _, _ = kept(tmp_path, marks, more=options)
    assert empty == {"v0001": [4, 5, 7, 8]}
    assert verify.main([str(tmp_path / "out"), "--quiet"]) == 0


def test_noisy_rows_of_deeplesion_tell_of_lesions_too(tmp_path):
    rng = np.random.default_rng(0)
    header = "File_name,Patient_index,Measurement_coordinates,Possibly_noisy,Spacing_mm_px_"
    rows = []
    for name, noisy in (("000001_01_01", 0), ("000001_01_02", 1), ("000002_01_01", 0)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(11, 20):
            plane = rng.integers(32000, 34000, (40, 40)).astype(np.uint16)
            cv2.imwrite(str(tmp_path / "images" / name / f"{number:03d}.png"), plane)
        points = "13,21,29,21,21,16,21,26"
        rows.append(f'{name}_012.png,{name[:6]},"{points}",{noisy},"1,1,6"')
    (tmp_path / "images" / "DL_info.csv").write_text("\n".join([header, *rows]))
    marks = tmp_path / "DL_info.csv"
    marks.write_text("\n".join([header, *rows[:2]]))
    empty, asked, _ = kept(tmp_path, marks)
    assert (sorted(empty), asked) == (["v0001", "v0002"], 2)
    assert empty["v0002"] == list(range(9))  # of 000002_01_01, which has no row


def test_the_copy_of_a_volume_is_not_lesion_free(tmp_path):
    """A medium that was copied twice: the bookmarks name one of the two."""
    for name, seed in (("a", 0), ("copy", 0), ("other", 7)):
        volume(tmp_path / "images" / f"{name}.mha", seed)
    marks = tmp_path / "marks.csv"
    marks.write_text(f"{HEADER}\na.mha,2,{AXES}\n")
    empty, asked, _ = kept(tmp_path, marks, "volumes", status=1)
    assert set(empty) == {"v0003"} and asked == 3
    (error,) = (tmp_path / "out/errors.txt").read_text().splitlines()
    assert says(error, "v0002, slice 2", "without lesions", "slices of v0001", "left out")
