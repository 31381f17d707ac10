"""The command that draws phantoms."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from data_prep.phantoms import context, irregular_lesions
from data_prep.phantoms.__main__ import main


def voxels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_irregular_lesions(tmp_path, capsys):
    arguments = ["irregular-lesions", "--out-dir", str(tmp_path), "--slices", "3", "--seed", "5"]
    assert main(arguments) == 0
    image = voxels(tmp_path / "images" / "irregular.nii.gz")
    labels = voxels(tmp_path / "masks" / "irregular.nii.gz")
    assert image.shape == (3, 160, 160) and np.unique(labels).tolist() == [0, 1, 2, 3]
    expected, lesion = irregular_lesions.make_image((5, 1))
    assert (image[1] == expected).all() and (labels[1] == 2 * lesion).all()
    assert str(tmp_path) in capsys.readouterr().out


def test_abdomen(tmp_path):
    counts = ["--volumes", "1", "--empty", "1", "--nodes", "2"]
    assert main(["abdomen", "--out-dir", str(tmp_path / "out"), *counts]) == 0
    names = [f"phantom_{i:03d}.nii.gz" for i in range(2)]
    for folder in ("images", "masks"):
        files = sorted((tmp_path / "out" / folder).iterdir())
        assert [file.name for file in files] == names
    assert [int(voxels(tmp_path / "out" / "masks" / name).max()) for name in names] == [2, 0]
    with open(tmp_path / "out" / "bookmarks.csv", newline="") as file:
        assert {row["volume"] for row in csv.DictReader(file)} == {names[0]}


def test_context(tmp_path, monkeypatch):
    monkeypatch.setitem(
        context.SIZES, "tiny", replace(context.SIZES["tiny"], patients=2, lesions=3)
    )
    assert main(["context", "--size", "tiny", "--out-dir", str(tmp_path), "--seed", "2"]) == 0
    assert len(list((tmp_path / "images").iterdir())) == 2
    assert len((tmp_path / "bookmarks.csv").read_text().splitlines()) == 1 + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["abdomen", "--out-dir", "x", "--volumes", "-1"], "a whole number of at least 0"),
        (["abdomen"], "--out-dir"),
        (["context", "--out-dir", "x", "--size", "big"], "invalid choice: 'big'"),
        (["pelvis", "--out-dir", "x"], "invalid choice"),
        (["irregular-lesions", "--out-dir", "x", "--contrast", "9", "3"], "LOW <= HIGH"),
        (["irregular-lesions", "--out-dir", "x", "--contrast", "nan", "3"], "at least 0"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["irregular-lesions", "--out-dir", str(tmp_path / "file"), "--slices", "1"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
