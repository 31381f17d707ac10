"""LUNA16 from the layout of its download to a prepared set."""

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from pycocotools import mask as rle

import mmglan
from data_prep.errors import DataError
from data_prep.public_sets import luna16
from data_prep.volumes.geometry import Grid
from mmglan.commands import public_set

UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.{}"
SHAPE, SPACING, ORIGIN = (12, 60, 60), (0.8, 0.8, 2.0), (-30.0, -40.0, -100.0)
FLIPPED = (-1, 0, 0, 0, -1, 0, 0, 0, 1)  # as some scans of the set
# Columns, rows, slices of the centres; diameters in mm.
NODULES = {1: [((20.2, 30, 4), 12.0), ((45, 15, 8), 6.0)], 2: [((30, 30, 6), 9.6)], 4: []}
EXCLUDED = {1: [((40, 40, 4), -1), ((40, 50, 10), 8.0)], 2: [((10, 10, 7), 5.0)], 4: []}


def mm(index, flipped=False):
    step = np.array(index) * SPACING
    return np.array(ORIGIN) + (step * [-1, -1, 1] if flipped else step)


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    """Three scans in two subsets, the second flipped, the third without a nodule."""
    root = tmp_path_factory.mktemp("luna16")
    rng = np.random.default_rng(0)
    for number in NODULES:
        image = sitk.GetImageFromArray(rng.normal(-800, 30, SHAPE).astype(np.int16))
        image.SetSpacing(SPACING)
        image.SetOrigin(ORIGIN)
        if number == 2:
            image.SetDirection(FLIPPED)
        path = root / f"subset{number // 2}" / f"{UID.format(number)}.mhd"
        for file in (path, root / "seg-lungs-LUNA16" / path.name):
            file.parent.mkdir(exist_ok=True)
            sitk.WriteImage(image, str(file))
    for name, findings in (("annotations.csv", NODULES), ("annotations_excluded.csv", EXCLUDED)):
        lines = ["seriesuid,coordX,coordY,coordZ,diameter_mm"]
        for number, listed in findings.items():
            for centre, diameter in listed:
                x, y, z = mm(centre, number == 2)
                lines.append(f"{UID.format(number)},{x},{y},{z},{diameter}")
        if name == "annotations.csv":
            lines.append(f"{UID.format(9)},0,0,0,5")
        folder = root if name == "annotations.csv" else root / "evaluationScript/annotations"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n")
    return root


def prepare(download, out, *options):
    words = ["luna16", str(download), "--out-dir", str(out), "--split", "0,0,1", "--quiet"]
    return public_set.main([*words, "--overlays", "0", *options])


@pytest.fixture(scope="module")
def prepared(download, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert prepare(download, out) == 0
    return out / "data/annotations"


def load(path):
    return json.loads(path.read_text())


def test_nodules_are_circles_on_the_slice_of_their_centre(prepared):
    content = load(prepared / "test.json")
    z = {image["id"]: image["slice_index"] for image in content["images"]}
    lesions = [a for a in content["annotations"] if not a["iscrowd"]]
    assert [z[a["image_id"]] for a in lesions] == [4, 8, 6]
    for lesion, diameter in zip(lesions, (12, 6, 9.6), strict=True):
        assert lesion["long_axis_mm"] == pytest.approx(diameter, abs=0.01)
        assert lesion["short_axis_mm"] == pytest.approx(diameter, abs=0.01)
    # The second scan is stored from the left: axial column 59 - 30.
    centre = np.array(lesions[2]["recist"]).reshape(4, 2).mean(0)
    assert centre == pytest.approx([29, 29], abs=0.01)


def test_findings_to_ignore_are_regions_on_slices_of_bookmarks(prepared):
    """One of 10 mm on its own slice; one 2 mm below a key slice: a chord of sqrt(25 - 16) mm."""
    content = load(prepared / "test.json")
    z = {image["id"]: image["slice_index"] for image in content["images"]}
    regions = [a for a in content["annotations"] if a["iscrowd"]]
    assert [z[a["image_id"]] for a in regions] == [4, 6]
    # Slice 10 is 4 mm above slice 8, where nothing of a diameter of 8 mm is left.
    areas = [float(rle.area(a["segmentation"])) * 0.64 for a in regions]
    assert areas == pytest.approx([np.pi * 25, np.pi * 2.25], rel=0.35)
    # Centre at column 40, radius 6.25 columns.
    assert 33 <= regions[0]["bbox"][0] <= 34 and 11 <= regions[0]["bbox"][2] <= 13


def test_scans_without_a_nodule_give_slices_without_a_lesion(prepared):
    content = load(prepared / "test.json")
    of_volume = [image for image in content["images"] if image["volume_id"] == "v0003"]
    marked = {a["image_id"] for a in content["annotations"]}
    assert len(of_volume) == 3 and not marked & {image["id"] for image in of_volume}


def test_oracle_detections_give_100_percent(prepared):
    whole, volumes = load(prepared / "test_whole.json"), load(prepared / "volumes_test.json")
    assert len(whole["images"]) == 3 * 12
    # Slices within the radius of a centre: 5 of 12 mm (the outermost touch it), 3 of 6, 5 of 9.6.
    true = [a for a in whole["annotations"] if not a["iscrowd"]]
    assert len(volumes["lesions"]) == 3 and len(true) >= 3 + 3 + 5
    rows = [
        {"image_id": a["image_id"], "category_id": 1, "score": 0.9, "bbox": a["bbox"]} for a in true
    ]
    gt, in_3d = prepared / "test_whole.json", prepared / "volumes_test.json"
    found = mmglan.evaluate(gt, rows, volumes=in_3d, bootstrap=0).by_name()
    assert found["bbox_AP50"] == 1 and found["bbox3d_FROC_IoBB30_mean"] == 1
    found = mmglan.evaluate(gt, rows, volumes=in_3d, protocol="luna", bootstrap=0).by_name()
    assert {v for name, v in found.items() if name.startswith("bbox3d_SEN")} == {1}


def test_balls_by_hand():
    """Voxels of 1 x 1 x 2 mm, centre (3, 3, 2): radius 2 covers 13 in plane, and both poles."""
    grid = Grid((7, 7, 5), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    labels = luna16.balls([luna16.Finding(np.array([3.0, 3.0, 4.0]), 4.0)], grid)
    assert [int((plane == 1).sum()) for plane in labels] == [0, 1, 13, 1, 0]
    tiny = luna16.balls([luna16.Finding(np.array([3.4, 3.4, 4.9]), 0.1)], grid)
    assert np.argwhere(tiny).tolist() == [[2, 3, 3]]
    for x, y, z in ((-0.6, 3, 4), (3, 6.6, 4), (3, 3, 9.2)):
        with pytest.raises(DataError, match=r"centre of the 1\. outside"):
            luna16.balls([luna16.Finding(np.array([x, y, z]), 4.0)], grid)


@pytest.mark.parametrize("rule", ["ignore", "refuse"])
def test_the_rule_for_one_axis_is_that_of_prepare(download, tmp_path, rule):
    status = prepare(download, tmp_path, "--one-axis", rule)
    folder = tmp_path / "data/annotations"
    if rule == "refuse":
        assert status == 1 and "long axis only" in (tmp_path / "data/errors.txt").read_text()
    else:
        content = load(folder / "test.json")
        assert status == 0 and sum(a["iscrowd"] for a in content["annotations"]) == 3 + 2


def test_the_split_is_by_subset(download, tmp_path):
    folder = tmp_path / "luna16"
    shutil.copytree(download, folder)
    (folder / "subset0").rename(folder / "subset9")
    words = ["luna16", str(folder), "--out-dir", str(tmp_path / "out"), "--quiet"]
    assert public_set.main([*words, "--overlays", "0"]) == 0
    annotations = tmp_path / "out/data/annotations"
    assert len(load(annotations / "test_whole.json")["images"]) == 12
    train = load(annotations / "train.json")
    assert len({image["volume_id"] for image in train["images"]}) == 2
    assert not (annotations / "train_whole.json").exists()


def test_all_findings_to_ignore(download, tmp_path):
    done = luna16.convert(download, tmp_path, "all")
    rows = list(csv.DictReader((tmp_path / "bookmarks.csv").open()))
    ignored = [row for row in rows if row["status"] == "ignore"]
    # Heights within the radius of a centre: 5 of 10 mm, 3 of 8 mm, 3 of 5 mm.
    assert len(ignored) == 5 + 3 + 3 and done.bookmarks == 3
    assert done.notes == ("1 nodules of scans that are not there: left out.",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("column", "annotations.csv, row 1: Expected the columns seriesuid"),
        ("number", "annotations.csv, row 2: Expected a number in coordX"),
        ("none", "Expected annotations.csv but got none"),
        ("scans", "Expected scans subset*/*.mhd but got none"),
        ("header", "Expected the header of a MetaImage"),
    ],
)
def test_errors_say_where(tmp_path, capsys, change, message):
    table = "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,0,0,0,5\n"
    if change == "column":
        table = table.replace("diameter_mm", "diameter")
    if change == "number":
        table = table.replace("1.2,0", "1.2,left")
    if change != "none":
        (tmp_path / "annotations.csv").write_text(table)
    if change != "scans":
        (tmp_path / "subset0").mkdir()
        (tmp_path / "subset0/1.2.mhd").write_text("broken")
    assert prepare(tmp_path, tmp_path / "out") == 2
    assert message in capsys.readouterr().err
