"""`prepare`: what it writes of each lesion comes from the right numbers of the volume."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from small_sets import HEADER, lesions, run

from data_prep.bookmarks import recist
from data_prep.dataset import coco_entries
from data_prep.pseudo_masks import grabcut, mask_metrics

SPACING = (4.0, 1.0, 3.0)  # of an axial slice through a sagittal scan


@pytest.fixture
def oblong(tmp_path):
    """Volume a.mha of oblong pixels with a lesion of 40 x 28 mm; array, truth, bookmark."""
    y, x = np.mgrid[:120, :30] * np.array(SPACING[1::-1])[:, None, None] - 60.0
    u, v = (x + y) / np.sqrt(2), (y - x) / np.sqrt(2)
    truth = (u / 20) ** 2 + (v / 14) ** 2 <= 1
    array = np.random.default_rng(0).normal(100, 10, (4, *truth.shape)) + 40 * truth
    array = array.round().astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    return array, truth, recist.measure(truth, SPACING[:2])


def row(bookmark, z, *more):
    return ",".join(map(str, ("a.mha", z, "p", *bookmark.points().ravel().tolist(), *more)))


def test_masks_and_axes_of_pixels_that_are_no_squares(oblong, tmp_path):
    array, truth, bookmark = oblong
    (tmp_path / "marks.csv").write_text("\n".join([HEADER, row(bookmark, 2)]))
    assert run(tmp_path, tmp_path / "marks.csv", tmp_path / "out") == 0
    (lesion,) = lesions(tmp_path / "out")
    mask = coco_entries.decode(lesion["segmentation"])
    right, swapped = (
        grabcut.pseudo_mask(array[2], bookmark, spacing_xy=spacing)
        for spacing in (SPACING[:2], SPACING[1::-1])
    )
    assert lesion["mask_source"] == right.source
    assert (mask == right.mask).all() and (mask != swapped.mask).any()
    assert mask_metrics.dice(mask, truth) > 0.95
    assert lesion["long_axis_mm"] == pytest.approx(40, abs=4)
    assert lesion["short_axis_mm"] == pytest.approx(28, abs=4)


def test_the_site_of_a_bookmark_is_written_where_one_is_given(oblong, tmp_path):
    *_, bookmark = oblong
    marks = [HEADER + ",site", row(bookmark, 1, "pelvis"), row(bookmark, 2, "")]
    (tmp_path / "marks.csv").write_text("\n".join(marks))
    assert run(tmp_path, tmp_path / "marks.csv", tmp_path / "out") == 0
    found = sorted(lesions(tmp_path / "out"), key=lambda lesion: "site" not in lesion)
    assert [lesion.get("site") for lesion in found] == ["pelvis", None]
    assert "site" not in found[1]


def test_true_lesions_have_the_site_of_the_bookmark_on_them(oblong, tmp_path):
    """Lesion 7 is marked on slice 2 of its three; of two marks the one on more voxels counts."""
    _, truth, bookmark = oblong
    labels = np.zeros((4, *truth.shape), np.uint8)
    labels[1:4, truth] = 7
    labels[2, :3, :3] = 9
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(SPACING)
    (tmp_path / "masks").mkdir()
    sitk.WriteImage(image, str(tmp_path / "masks/a.mha"))
    small = recist.Bookmark([(12, 60), (18, 60)], [(15, 55), (15, 65)])
    marks = [HEADER + ",site", row(bookmark, 2, "pelvis"), row(small, 3, "groin")]
    (tmp_path / "marks.csv").write_text("\n".join(marks))
    masks = ("--masks", tmp_path / "masks", "--split", "0,0,1")
    assert run(tmp_path, tmp_path / "marks.csv", tmp_path / "out", *masks) == 0
    true = json.loads((tmp_path / "out/annotations/test_truth.json").read_text())["annotations"]
    assert {(one["lesion"], one.get("site")) for one in true} == {(7, "pelvis"), (9, None)}
    assert len([one for one in true if one["lesion"] == 7]) >= 2
