"""`prepare` from hospital formats: DICOM with pixels, Slicer markups, reports and label masks."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from data_prep import prepare
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.volumes.volume import read_volume

# Column, row on the third slice from the feet: long axis, then short axis.
POINTS = np.array([[20.0, 30], [40, 30], [30, 22], [30, 38]])


def run(images, marks, out, *more):
    source = ["--images", images, "--bookmarks", marks, "--out-dir", out, "--overlays", 0]
    return prepare.main([*map(str, source), "--quiet", *map(str, more)])


def lesions(out):
    """All lesions without ids, with their slices."""
    found = []
    for split in ("train", "val", "test"):
        content = json.loads((out / "annotations" / f"{split}.json").read_bytes())
        slices = {image["id"]: image["slice_index"] for image in content["images"]}
        found += [(slices[a["image_id"]], a) for a in content["annotations"]]
    return found


@pytest.fixture
def case(make_series):
    """A DICOM series of five slices in its own folder; and that folder's parent."""
    folder = make_series("images/case7", 5)
    return folder, folder.parent


def patient_mm(folder):
    """The points in mm (LPS)."""
    volume = read_volume(folder)
    index = np.column_stack([POINTS, np.full(4, 2.0)])
    return volume.to_patient_mm(index)


def test_every_format_gives_the_same_lesion(
    case, make_table, make_markups, make_report, tmp_path, capsys
):
    folder, images = case
    mm = patient_mm(folder)
    ends = ",".join(f"{v:g}" for v in POINTS.ravel())
    table = make_table(f"case7,2,{ends}")
    markups = make_markups([mm[:2], mm[2:]], name="case7.mrk.json")
    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    (key,) = [s for s in slices if float(s.ImagePositionPatient[2]) == pytest.approx(mm[0, 2])]
    # Reports count pixels from their corners.
    report = make_report([(key, POINTS + 0.5)], slices)
    results = {}
    for name, marks in (("table", table), ("markups", markups), ("report", report)):
        assert run(images, marks, tmp_path / name) == 0, capsys.readouterr().err
        ((z, lesion),) = lesions(tmp_path / name)
        assert z == 2
        results[name] = lesion
    assert results["table"]["recist"] == POINTS.ravel().tolist()
    assert results["table"]["long_axis_mm"] == pytest.approx(20 * 0.9)
    assert results["table"]["short_axis_mm"] == pytest.approx(16 * 0.7)
    for name in ("markups", "report"):
        assert results[name]["recist"] == pytest.approx(results["table"]["recist"], abs=0.01)
        assert results[name]["bbox"] == results["table"]["bbox"]


def test_bookmarks_measured_from_label_masks(tmp_path):
    shape = (6, 40, 50)
    labels = np.zeros(shape, np.uint8)
    labels[2:4, 10:21, 12:29] = 1
    labels[3, 12:19, 30:45] = 2
    array = np.random.default_rng(0).integers(0, 50, shape).astype(np.int16)
    array[labels > 0] += 900
    for folder, voxels in (("images", array), ("masks", labels)):
        (tmp_path / folder).mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / folder / "a.nii.gz"))
    masks = tmp_path / "masks"
    options = ["--masks", masks, "--split", "1,0,0"]
    assert run(tmp_path / "images", masks, tmp_path / "out", *options) == 0
    found = lesions(tmp_path / "out")
    assert len(found) == 2
    assert run(tmp_path / "images", masks, tmp_path / "all", "--bookmark-slices", "all") == 0
    assert len(lesions(tmp_path / "all")) == 3
    truth = json.loads((tmp_path / "out" / "annotations" / "volumes_train.json").read_bytes())
    assert [x["box3d"] for x in truth["lesions"]] == [
        [12, 10, 2, 28, 20, 3],
        [30, 12, 3, 44, 18, 3],
    ]


def test_a_folder_of_masks_that_cannot_be_read_is_told(tmp_path, locked):
    masks = tmp_path / "masks"
    for name in ("a", "b", "c"):
        (masks / name).mkdir(parents=True)
        labels = np.zeros((2, 20, 20), np.uint8)
        labels[1, 5:15, 5:12] = 1
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(masks / name / f"{name}.mha"))
    locked("b")
    found = read_bookmarks(masks)
    assert [record.volume for record in found.records] == ["a", "c"]
    assert [str(error) for error in found.errors] == [
        "masks/b: Expected a readable folder but the system refuses it. Check the rights."
    ]


def test_two_series_in_a_folder_are_refused_or_chosen_aloud(
    make_series, make_table, tmp_path, capsys
):
    folder = make_series("images/case7", 5)
    for path in make_series("second", 2).iterdir():
        path.rename(folder / f"second_{path.name}")
    ends = ",".join(f"{v:g}" for v in POINTS.ravel())
    table = make_table(f"case7,2,{ends}")
    assert run(folder.parent, table, tmp_path / "refused") == 1
    (line,) = (tmp_path / "refused" / "errors.txt").read_text().splitlines()
    assert line.startswith("case7: Expected") and line.endswith("bookmarks.csv, rows 2.")
    capsys.readouterr()
    assert run(folder.parent, table, tmp_path / "chosen", "--series", "most-slices") == 0
    (note,) = (tmp_path / "chosen" / "notes.txt").read_text().splitlines()
    assert note.startswith("case7: took series") and note in capsys.readouterr().out
    assert "took series" not in (tmp_path / "chosen" / "report.json").read_text()


def test_a_file_counted_from_one_is_noted(tmp_path, make_table, capsys):
    array = np.random.default_rng(1).integers(0, 50, (3, 20, 20)).astype(np.int16)
    (tmp_path / "images").mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "images" / "a.nii.gz"))
    table = make_table("a.nii.gz,1,10,8,20,8,15,5,15,11", "a.nii.gz,3,4,8,12,8,8,5,8,11")
    assert run(tmp_path / "images", table, tmp_path / "zero") == 1
    assert "fits its volumes better as 1-based" in capsys.readouterr().out
    assert run(tmp_path / "images", table, tmp_path / "one", "--one-based") == 0
    assert [z for z, _ in lesions(tmp_path / "one")] == [0, 2]
