"""Sites of bookmarks as the classes of a data set."""

import csv
import json

import numpy as np
import pytest
from small_sets import HEADER, cross, lesions, run, volume

from data_prep.phantoms import abdomen


@pytest.fixture
def marks(tmp_path):
    """Four patients; sites right, left, none and right."""
    (tmp_path / "images").mkdir()
    rows = [HEADER + ",site"]
    for name, site in zip("abcd", ("right iliac", "left iliac", "", "right iliac"), strict=True):
        volume(tmp_path / "images" / f"{name}.nii.gz", seed=ord(name))
        rows.append(cross(f"{name}.nii.gz", 2, patient=name) + f",{site}")
    path = tmp_path / "marks.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_sites_are_categories(tmp_path, marks, capsys):
    out = tmp_path / "out"
    assert run(tmp_path / "images", marks, out, "--classes", "site") == 0
    line = "classes = ('left iliac', 'right iliac', 'unspecified')"
    assert line in capsys.readouterr().out
    assert any(line in note for note in json.loads((out / "report.json").read_bytes())["notes"])
    names = ["left iliac", "right iliac", "unspecified"]
    expected = [
        {"id": i, "name": name, "supercategory": "lesion"} for i, name in enumerate(names, start=1)
    ]
    for path in (out / "annotations").glob("*.json"):
        assert json.loads(path.read_bytes())["categories"] == expected
    found = {(a.get("site"), a["category_id"]) for a in lesions(out)}
    assert found == {("left iliac", 1), ("right iliac", 2), (None, 3)}


def test_one_class_without_the_option(tmp_path, marks):
    assert run(tmp_path / "images", marks, tmp_path / "out") == 0
    assert {a["category_id"] for a in lesions(tmp_path / "out")} == {1}
    # Other classes are another run.
    assert run(tmp_path / "images", marks, tmp_path / "out", "--classes", "site") == 2


def test_a_region_to_ignore_is_one_for_every_class(tmp_path, marks):
    text = marks.read_text().splitlines()
    text[4] = text[4].replace("20,15,20,25", ",,,")  # of the last one, no short axis
    marks.write_text("\n".join(text) + "\n")
    out = tmp_path / "out"
    options = ("--classes", "site", "--one-axis", "ignore")
    assert run(tmp_path / "images", marks, out, *options) == 0
    found = lesions(out)
    regions = [a for a in found if a["iscrowd"]]
    assert [a["category_id"] for a in regions] == [1, 2, 3]
    assert len({json.dumps(a["segmentation"]) for a in regions}) == 1
    for path in (out / "annotations").glob("*.json"):
        ids = [a["id"] for a in json.loads(path.read_bytes())["annotations"]]
        assert len(ids) == len(set(ids))


def test_masks_name_no_sites(tmp_path, marks, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path / "images", marks, tmp_path / "out", "--classes", "site", "--masks", "m")
    assert "voxel masks name no sites" in capsys.readouterr().err


def test_phantom_of_three_classes(tmp_path):
    options = dict(shape=(8, 64, 64), spacing_mm=(5.0, 5.0, 8.0), n_nodes=2, n_lookalikes=12)
    one, three = (abdomen.make_phantom(3, **options, three_classes=t) for t in (False, True))
    assert np.array_equal(one.image, three.image) and not one.classes
    assert set(three.classes.values()) == {"node", "cyst", "vessel cross-section"}
    assert set(three.classes) == set(np.unique(three.labels)) - {0}
    table = abdomen.write_dataset(tmp_path, 2, 3, three_classes=True, **options)
    with open(table) as stream:
        names = {row["structure"] for row in csv.DictReader(stream)}
    assert names <= set(three.classes.values()) and "node" in names
