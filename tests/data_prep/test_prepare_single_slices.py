"""A folder of key slices, each a file, as a 2D set."""

import json

import pytest
import SimpleITK as sitk
from small_sets import HEADER, cross, lesions, run, volume


@pytest.fixture
def key_slices(tmp_path):
    """Three patients with one slice each, and the voxel masks of these slices."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for name in "abc":
        path = tmp_path / "images" / f"{name}.nii.gz"
        volume(path, shape=(1, 40, 40), seed=ord(name))
        bright = sitk.ReadImage(str(path)) > 1500
        sitk.WriteImage(bright, str(tmp_path / "masks" / path.name))
    table = tmp_path / "marks.csv"
    rows = [cross(f"{name}.nii.gz", 0, patient=name) for name in "abc"]
    table.write_text("\n".join([HEADER, *rows]) + "\n")
    return table


def test_key_slices_are_a_set_if_asked_for(tmp_path, key_slices):
    refused = tmp_path / "refused"
    assert run(tmp_path / "images", key_slices, refused) == 1
    assert (refused / "errors.txt").read_text().count("Expected at least 2 slices but got 1") == 3
    out = tmp_path / "out"
    masks = ("--masks", tmp_path / "masks")
    assert run(tmp_path / "images", key_slices, out, "--single-slices", *masks) == 0
    assert len(lesions(out)) == 3
    images = [
        image
        for path in (out / "annotations").glob("*_truth.json")
        for image in json.loads(path.read_bytes())["images"]
    ]
    assert [image["slice_index"] for image in images] == [0, 0, 0]
    assert all((out / "images" / image["file_name"]).is_file() for image in images)


@pytest.mark.parametrize("option", [("--context", 1), ("--whole-volumes",)])
def test_there_are_no_neighbours(tmp_path, key_slices, option, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path / "images", key_slices, tmp_path / "out", "--single-slices", *option)
    assert "with --single-slices, which have no neighbours" in capsys.readouterr().err
