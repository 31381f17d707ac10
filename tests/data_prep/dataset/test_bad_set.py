"""A set with one bad volume or bookmark of every kind: each gets its line, the rest is finished."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from data_prep import prepare


def image_of(array, spacing=(0.8, 0.8, 3.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    return image


def leave_gap(data, k):
    if k >= 2:
        data.ImagePositionPatient[2] += 2.5


@pytest.fixture
def image_root(tmp_path, make_series):
    """Two good volumes, and bad ones."""
    root = tmp_path / "images"
    root.mkdir()
    rng = np.random.default_rng(0)
    array = rng.normal(100, 10, (4, 64, 64)).astype(np.float32)
    array[:, 16:25, 20:41] += 300

    def write(name, values):
        sitk.WriteImage(image_of(values), str(root / name))
        return root / name

    write("good1.nii.gz", array)
    write("good2.nrrd", array.astype(np.int16))
    write("nan.nii.gz", np.where(array > 405, np.nan, array))
    write("constant.mha", np.full_like(array, 3))
    write("single.mha", array[:1])
    sitk.WriteImage(sitk.JoinSeries([image_of(array)] * 2), str(root / "time.nii.gz"))
    short = write("short.nii", array)
    short.write_bytes(short.read_bytes()[:-50])
    (root / "text.nii").write_text("not a volume")
    make_series("images/gap", 4, edit=leave_gap)
    (root / "empty").mkdir()
    return root


def test_the_rest_of_the_set_is_finished(image_root, tmp_path, make_table, capsys):
    axes = "20,20,40,20,30,16,30,24"
    names = "good1.nii.gz nan.nii.gz constant.mha single.mha time.nii.gz short.nii text.nii gap"
    lines = [f"{name},1,{axes}" for name in [*names.split(), "empty", "gone.nii", "good2.nrrd"]]
    lines += [
        f"good2.nrrd,9,{axes}",
        "good2.nrrd,1,20,20,40,20,30,16,30,99",
        "good2.nrrd,1,20,20,40",
        f"good2.nrrd,2,{axes}",
    ]
    out = tmp_path / "out"
    status = prepare.main(
        ["--images", str(image_root), "--bookmarks", str(make_table(*lines))]
        + ["--out-dir", str(out), "--quiet", "--split", "1,0,0"]
    )
    assert status == 1
    errors = (out / "errors.txt").read_text().splitlines()
    starts = {
        "bookmarks.csv, row 11: Expected the volume 'gone.nii' in the image folder but found none.",
        "bookmarks.csv, row 13, slice 9: Expected a slice from 0 to 3 of good2.nrrd (0 is the end",
        "bookmarks.csv, row 14, slice 1: Expected points inside 64 x 64 pixels "
        "(-0.5 to 63.5 and 63.5) but got (30, 99).",
        "bookmarks.csv, row 15: Expected 10 cells but got 5.",
        "constant.mha: Expected an image but got 3 in every voxel.",
        "empty: Expected a folder with slices but got an empty folder.",
        "gap, slice 1: Expected a slice every 2.5 mm but got a gap of 5 mm",
        "nan.nii.gz, slice 0: Expected finite intensities but got",
        "short.nii: Expected 65536 bytes of voxels but got 65486: the file is cut off.",
        "single.mha: Expected at least 2 slices but got 1.",
        "text.nii: Expected a NIfTI file but got other contents.",
        "time.nii.gz: Expected a 3D volume but got 4D (64 x 64 x 4 x 2).",
    }
    for start in starts:
        assert sum(line.startswith(start) for line in errors) == 1, start
    assert len(errors) == len(starts)
    train = json.loads((out / "annotations" / "train.json").read_text())
    assert len(train["annotations"]) == 3
    assert len(train["images"]) == 3
    assert all((out / "images" / image["file_name"]).is_file() for image in train["images"])
    assert "12 errors" in capsys.readouterr().err
