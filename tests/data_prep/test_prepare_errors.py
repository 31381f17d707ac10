"""`prepare` with bad input: each error in its line, the rest of the set finished."""

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from small_sets import HEADER, cross, lesions, run, volume

from data_prep.dataset.one_volume import volume_lesions


def test_one_broken_row_among_ten_thousand(tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    rows = []
    for i in range(20):
        volume(images / f"v{i:02d}.mha", (20, 64, 64), seed=i)
        for z in range(20):
            for k in range(25):
                x, y = 8 + 12 * (k % 5), 8 + 12 * (k // 5)
                rows.append(cross(f"v{i:02d}.mha", z, x, y, 4, 3, patient=f"p{i}"))
    assert len(rows) == 10_000
    rows[6_543] = rows[6_543].replace("v13.mha,", "v13.mha,x", 1)
    marks = tmp_path / "marks.csv"
    marks.write_text("\n".join([HEADER, *rows]))
    assert run(images, marks, tmp_path / "out", "--mask-method", "ellipse") == 1
    assert (tmp_path / "out" / "errors.txt").read_text() == (
        "marks.csv, row 6545: Expected a number in slice but got text. Correct the cell.\n"
    )
    assert len(lesions(tmp_path / "out")) == 9_999
    assert "1 error." in capsys.readouterr().err


def errors_after(folder, *more):
    status = run(folder / "images", folder / "marks.csv", folder / "out", *more)
    lines = (folder / "out" / "errors.txt").read_text().splitlines()
    assert status == (1 if lines else 0)
    return lines


def test_a_broken_volume_is_left_out_with_its_rows(two):
    path = two / "images" / "a.mha"
    path.write_bytes(path.read_bytes()[:-500])
    (line,) = errors_after(two)
    assert line.startswith("a.mha: Expected")
    assert line.endswith("Bookmarks left out: marks.csv, rows 2, 3.")
    assert len(lesions(two / "out")) == 2
    assert json.loads((two / "out" / "report.json").read_bytes())["volumes"]["used"] == 1


def test_refused_bookmarks_are_named_and_the_others_used(two):
    with open(two / "marks.csv", "a") as stream:
        stream.write("\n" + cross("a.mha", 9, patient="a"))
        stream.write("\n" + cross("b.mha", 2, across=12, patient="b"))
        stream.write("\n" + cross("c.mha", 2, patient="b"))
    lines = errors_after(two)
    assert [line.split(":")[0] for line in lines] == [
        "marks.csv, row 8",
        "marks.csv, row 6, slice 9",
        "marks.csv, row 7, slice 2",
    ]
    assert len(lesions(two / "out")) == 4


def test_the_same_lesion_in_two_writings_is_refused(two):
    ends = (28, 20, 12, 20, 20, 15, 20, 25)
    with open(two / "marks.csv", "a") as stream:
        stream.write("\na.mha,1,a,12.0,20,28,20,20,15,20,25.0001")
        stream.write("\n" + ",".join(map(str, ("a.mha", 1, "a", *ends))))
    lines = errors_after(two)
    assert lines == [
        f"marks.csv, row {row}: Expected each bookmark once but got the one of row 2 again. Remove"
        " one of the rows."
        for row in (6, 7)
    ]


def test_a_mask_on_another_grid_costs_the_truth_only(two):
    masks = two / "masks"
    masks.mkdir()
    labels = np.zeros((6, 40, 40), np.uint8)
    labels[1:5, 15:26, 12:29] = 1
    for name, spacing in (("a", (1.0, 1.0, 3.0)), ("b", (1.0, 1.0, 2.0))):
        image = sitk.GetImageFromArray(labels)
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(masks / f"{name}_mask.nii.gz"))
    (line,) = errors_after(two, "--masks", masks, "--split", "1,0,0")
    assert line.startswith("b_mask.nii.gz: Expected a mask on the grid of b.mha")
    assert len(lesions(two / "out")) == 4
    truth = json.loads((two / "out" / "annotations" / "train_truth.json").read_bytes())
    assert {image["volume_id"] for image in truth["images"]} == {"v0001"}
    assert [a["bbox"] for a in truth["annotations"]] == [[12.0, 15.0, 17.0, 11.0]] * 2


def test_components_of_a_binary_mask_are_lesions(two):
    labels = np.zeros((6, 40, 40), np.uint8)
    labels[1:3, 15:26, 12:29] = 1
    labels[1, 2:4, 2:4] = 1
    shutil.rmtree(two / "masks", ignore_errors=True)
    (two / "masks").mkdir()
    for name in "ab":
        image = sitk.GetImageFromArray(labels)
        image.SetSpacing((1.0, 1.0, 3.0))
        sitk.WriteImage(image, str(two / "masks" / f"{name}.nii.gz"))
    options = ["--masks", two / "masks", "--split", "1,0,0"]
    assert errors_after(two, *options, "--binary-masks") == []
    content = json.loads((two / "out" / "annotations" / "volumes_train.json").read_bytes())
    boxes = sorted(lesion["box3d"] for lesion in content["lesions"])
    assert boxes == [[2, 2, 1, 3, 3, 1]] * 2 + [[12, 15, 1, 28, 25, 2]] * 2


def test_an_unforeseen_failure_is_one_line_and_the_rest_goes_on(two, monkeypatch):
    real = volume_lesions.pseudo_mask

    def failing(*arguments, **options):
        if failing.calls == 0:
            failing.calls = 1
            raise ZeroDivisionError("division by zero")
        return real(*arguments, **options)

    failing.calls = 0
    monkeypatch.setattr(volume_lesions, "pseudo_mask", failing)
    assert errors_after(two) == [
        "a.mha: Expected a volume that can be processed but got ZeroDivisionError: division by"
        " zero. Leave this volume out, and report this line. Bookmarks left out: marks.csv, rows 2,"
        " 3."
    ]
    assert len(lesions(two / "out")) == 2


def test_no_usable_bookmark_at_all(two):
    (two / "marks.csv").write_text("\n".join([HEADER, cross("a.mha", 77)]))
    assert run(two / "images", two / "marks.csv", two / "out") == 1
    assert lesions(two / "out") == []


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--images", "nothing: Expected the volumes but found nothing there. Correct --images."),
        ("--masks", "nothing: Expected masks but found nothing there. Correct --masks."),
    ],
)
def test_missing_folders(two, capsys, option, error):
    assert run(two / "images", two / "marks.csv", two / "out", option, two / "nothing") == 2
    assert capsys.readouterr().err == f"error: {error}\n"


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("--patient-pattern", "(P", "expected a regular expression, as '(P[0-9]+)/', but got (P"),
        ("--normalize", "window:0,inf", "expected image, volume or window:low,high"),
    ],
)
def test_options_that_are_none(two, capsys, option, value, error):
    with pytest.raises(SystemExit) as caught:
        run(two / "images", two / "marks.csv", two / "out", option, value)
    assert caught.value.code == 2
    assert error in capsys.readouterr().err


def test_one_volume_of_a_table_of_many(two, capsys):
    assert run(two / "images" / "b.mha", two / "marks.csv", two / "out") == 0
    assert "2 bookmarks of other volumes were left out." in capsys.readouterr().out
    assert len(lesions(two / "out")) == 2


def test_two_patients_for_one_volume(two, capsys):
    with open(two / "marks.csv", "a") as stream:
        stream.write("\n" + cross("a.mha", 3, patient="z"))
    assert run(two / "images", two / "marks.csv", two / "out") == 2
    assert capsys.readouterr().err == (
        "error: a.mha: Expected one patient per volume but got 2 in the rows of this one. Correct"
        " the patient column.\n"
    )


def test_ids_tell_pseudonyms_from_names(two):
    assert errors_after(two, "--ids", two / "apart" / "ids.csv") == []
    assert not (two / "out" / "ids.csv").exists()
    with open(two / "apart" / "ids.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [
        {"volume_id": "v0001", "patient_id": "p0001", "volume": "a.mha", "patient": "a"},
        {"volume_id": "v0002", "patient_id": "p0002", "volume": "b.mha", "patient": "b"},
    ]


def test_ids_do_not_go_into_the_data_set(two, capsys):
    ids = two / "out" / "ids.csv"
    assert run(two / "images", two / "marks.csv", two / "out", "--ids", ids) == 2
    assert capsys.readouterr().err == (
        "error: ids.csv: Expected --ids outside of --out-dir, which may be given away, but got a"
        " file in it. Name a file elsewhere.\n"
    )
