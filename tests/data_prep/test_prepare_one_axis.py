"""`prepare` with measurements without two axes: nothing that may be a lesion becomes background."""

import json
from pathlib import Path

import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from small_sets import cross

from data_prep.prepare import main
from data_prep.verify import main as verify


@pytest.fixture
def with_length(two):
    """`two`, and one row with a long axis only on slice 5 of `a.mha`."""
    table = two / "marks.csv"
    cells = cross("a.mha", 5).split(",")[:-4] + [""] * 4
    table.write_text("\n".join([table.read_text(), ",".join(cells)]))
    return two


def prepare(folder: Path, *options: str) -> int:
    arguments = ["--images", folder / "images", "--bookmarks", folder / "marks.csv"]
    arguments += ["--out-dir", folder / "out", "--quiet", "--split", "1,0,0", *options]
    return main([str(a) for a in arguments])


def train(folder: Path, kind: str = "") -> dict:
    return json.loads((folder / f"out/annotations/train{kind}.json").read_text())


def test_refused_by_default_without_lesion_free_slices(with_length):
    assert prepare(with_length, "--keep-empty", "slices") == 1
    content = train(with_length)
    assert not any(a["iscrowd"] for a in content["annotations"])
    of_a = [i["slice_index"] for i in content["images"] if i["volume_id"] == "v0001"]
    assert of_a == [1, 4]
    assert {i["volume_id"] for i in content["images"] if i.get("incomplete")} == {"v0001"}
    assert "long axis only" in (with_length / "out/errors.txt").read_text()


def test_ignored_on_request(with_length):
    assert prepare(with_length, "--keep-empty", "slices", "--one-axis", "ignore") == 0
    for kind in ("", "_recist"):
        content = train(with_length, kind)
        (region,) = [a for a in content["annotations"] if a["iscrowd"]]
        image = next(i for i in content["images"] if i["id"] == region["image_id"])
        assert (image["volume_id"], image["slice_index"]) == ("v0001", 5)
        # MMDetection leaves annotations with `ignore` out, and would train on them as background.
        assert "ignore" not in region and region["drawn"] == "long axis"
        assert region["bbox"][2] > 1 and region["bbox"][3] > 1
        assert ("segmentation" in region) == (kind == "")
    region = next(a for a in train(with_length)["annotations"] if a["iscrowd"])
    assert int(rle.area(region["segmentation"])) == region["area"]
    coco = COCO(str(with_length / "out/annotations/train.json"))
    assert len(coco.getAnnIds(iscrowd=1)) == 1 and len(coco.getAnnIds(iscrowd=0)) == 4
    assert not any("incomplete" in i for i in train(with_length)["images"])
    report = json.loads((with_length / "out/report.json").read_text())
    assert report["ignore_regions"] == 1
    assert verify([str(with_length / "out")]) == 0


def test_taken_as_a_circle_on_request(with_length):
    assert prepare(with_length, "--one-axis", "circle") == 0
    content = train(with_length)
    assert [a["iscrowd"] for a in content["annotations"]] == [0] * 5
    image = {i["id"]: i["slice_index"] for i in content["images"]}
    (circle,) = [a for a in content["annotations"] if image[a["image_id"]] == 5]
    assert circle["long_axis_mm"] == circle["short_axis_mm"]


def test_the_rule_belongs_to_the_run(with_length, capsys):
    assert prepare(with_length, "--one-axis", "ignore") == 0
    assert prepare(with_length, "--one-axis", "circle") == 2
    assert "one_axis 'ignore' there and 'circle' here" in capsys.readouterr().err
