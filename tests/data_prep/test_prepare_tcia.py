"""TCIA CT Lymph Nodes as downloaded: series below study and case, masks of two sets in a folder."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from data_prep import prepare


@pytest.fixture
def tcia(tmp_path, make_series):
    """Eight cases, their masks, and two masks of cases that were not downloaded."""
    labels = np.zeros((3, 64, 64), np.uint8)
    labels[1, 20:30, 20:34] = 1
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((0.9, 0.7, 2.5))
    image.SetOrigin((-20, -30, 40))
    for k in range(10):
        case = f"ABD_LYMPH_{k:03d}" if k < 8 else f"MED_LYMPH_{k:03d}"
        if k < 8:
            make_series(f"CT/{case}/09-14-2014-{k}-study/abdominal-{k}", 3)
        (tmp_path / "masks" / case).mkdir(parents=True)
        sitk.WriteImage(image, str(tmp_path / f"masks/{case}/{case}_mask.nii.gz"))
    return tmp_path


def run(root, *options) -> int:
    images, masks, out = (str(root / name) for name in ("CT", "masks", "out"))
    given = ["--images", images, "--bookmarks", masks, "--masks", masks, "--out-dir", out]
    return prepare.main([*given, "--quiet", "--overlays", "0", "--split", "1,0,0", *options])


def test_bookmarks_and_masks_are_found(tcia):
    assert run(tcia) == 0
    train = json.loads((tcia / "out/annotations/train.json").read_text())
    assert len({image["file_name"].split("/")[0] for image in train["images"]}) == 8
    assert len(train["annotations"]) == 8
    report = (tcia / "out/report.json").read_text()
    assert "2 masks belong to no volume" in report


def test_masks_of_which_none_fits_are_an_error(tcia, tmp_path, capsys):
    bookmarks = str(tcia / "masks")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/zz_mask.nii.gz").touch()
    images, out = str(tcia / "CT"), str(tcia / "out")
    given = ["--images", images, "--bookmarks", bookmarks, "--masks", str(tmp_path / "other")]
    assert prepare.main([*given, "--out-dir", out, "--quiet"]) == 2
    assert "none that fits a volume" in capsys.readouterr().err
