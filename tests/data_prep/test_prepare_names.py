"""`prepare` with bookmarks and volumes of awkward names, places and files."""

import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from small_sets import HEADER, cross, lesions, run, volume


def test_a_locked_folder_is_left_out_and_the_rest_finished():
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        rows = []
        for name in ("sound", "named", "unnamed"):
            (folder / "images" / name).mkdir(parents=True)
            volume(folder / "images" / name / "a.mha")
            rows.append(cross(f"{name}/a.mha", 1, patient=name))
        (folder / "marks.csv").write_text("\n".join([HEADER, *rows[:2]]))
        assert run(folder / "images", folder / "marks.csv", folder / "out") == 0
        os.chmod(folder, 0o777)
        for name in ("named", "unnamed"):
            (folder / "images" / name).chmod(0o000)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # root reads everything
            images, out = folder / "images", folder / "locked"
            assert run(images, folder / "marks.csv", out, "--keep-empty", "all") == 1
            lines = (out / "errors.txt").read_text().splitlines()
        finally:
            os.seteuid(user)
            for name in ("named", "unnamed"):
                (folder / "images" / name).chmod(0o700)
        refused = "Expected readable data but the system refuses it. Check the rights and the disk."
        assert lines == [
            f"named: {refused}",  # who knows what else it holds
            f"named/a.mha: {refused} Bookmarks left out: marks.csv, rows 3.",
            f"unnamed: {refused}",
        ]
        assert len(lesions(folder / "locked")) == 1


def test_bookmarks_of_several_files_are_named_with_their_own(two, make_markups):
    marks = two / "markups"
    marks.mkdir()
    for name, z in (("a_one", 3), ("a_two", 12)):
        lines = [[(12, 20, z), (28, 20, z)], [(20, 15, z), (20, 25, z)]]
        make_markups(lines, f"{name}.mrk.json", folder=marks)
    path = two / "images" / "a.mha"
    path.write_bytes(path.read_bytes()[:-500])
    assert run(two / "images", marks, two / "out") == 1
    assert (
        (two / "out" / "errors.txt")
        .read_text()
        .endswith(
            "Bookmarks left out: markups/a_one.mrk.json, rows 1; markups/a_two.mrk.json, rows 1.\n"
        )
    )


def test_a_lesion_in_two_files_is_named_with_both(two):
    labels = np.zeros((6, 40, 40), np.uint8)
    labels[1, 15:26, 12:29] = 1
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((1.0, 1.0, 3.0))
    marks = two / "labels"
    for reader in ("r1", "r2"):
        (marks / reader).mkdir(parents=True)
        sitk.WriteImage(image, str(marks / reader / "a_mask.mha"))
    assert run(two / "images", marks, two / "out") == 1
    assert (two / "out" / "errors.txt").read_text() == (
        "labels/r2/a_mask.mha, row 1: Expected each bookmark once but got the one of"
        " labels/r1/a_mask.mha, row 1 again. Remove one of the rows.\n"
    )


def test_one_volume_under_two_names(tmp_path, make_series, capsys):
    images = tmp_path / "images"
    make_series("images/case/study", 4, series="1.2.3")
    marks = tmp_path / "marks.csv"
    names = ["case", "case/study", "case#1.2.3", "case/study#1.2.3"]
    for one, other in itertools.combinations(names, 2):
        rows = [cross(one, 1, patient="a"), cross(other, 2, patient="a")]
        marks.write_text("\n".join([HEADER, *rows]))
        assert run(images, marks, tmp_path / "out") == 2
        first, second = sorted((one, other))
        assert capsys.readouterr().err == (
            f"error: {first}: Expected one name per volume but got '{first}' and '{second}' for the"
            " same folder. Name it alike in every row, with its series or without.\n"
        )


def test_two_series_of_a_folder_are_two_volumes(tmp_path, make_series):
    images = tmp_path / "images"
    make_series("images/case", 4, series="1.2.3")
    make_series("images/more", 4, series="1.2.4")
    for path in (images / "more").iterdir():
        path.rename(images / "case" / f"more_{path.name}")
    (images / "more").rmdir()
    marks = tmp_path / "marks.csv"
    rows = [cross(f"case#1.2.{n}", 1, patient="a") for n in (3, 4)]
    marks.write_text("\n".join([HEADER, *rows]))
    assert run(images, marks, tmp_path / "out") == 0
    assert len(lesions(tmp_path / "out")) == 2
