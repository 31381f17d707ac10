"""`prepare` with reviews: corrections replace bookmarks, rejections teach, whole volumes count."""

import json
from pathlib import Path

import pytest
from pycocotools import mask as rle
from small_sets import HEADER, cross, volume

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.several_files import read_ids
from data_prep.errors import DataError
from data_prep.prepare import main


@pytest.fixture
def two(tmp_path):
    """Volumes `a` and `b` of 16 slices, 3 mm apart; crosses of 16 mm on slices 1 and 2, and 1."""
    (tmp_path / "images").mkdir()
    for name in "ab":
        volume(tmp_path / f"images/{name}.mha", shape=(16, 40, 40))
    rows = [cross("a.mha", 1), cross("a.mha", 2), cross("b.mha", 1, patient="b")]
    (tmp_path / "marks.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return tmp_path


def review(folder: Path, *rows: tuple[str, str], name: str = "review.csv") -> Path:
    """Write rows (bookmark row, status) as a table of a review."""
    path = folder / name
    lines = [f"{HEADER},status", *(f"{row},{status}" for row, status in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def complete(name: str) -> tuple[str, str]:
    """The row of a volume that was looked at as a whole."""
    return ",".join([name, *[""] * HEADER.count(",")]), "complete"


def moved(row: str, by: float) -> str:
    """A bookmark row with all points `by` pixels further right."""
    name, z, patient, *points = row.split(",")
    shifted = [float(v) + (by if i % 2 == 0 else 0) for i, v in enumerate(points)]
    return ",".join([name, z, patient, *map(str, shifted)])


def prepare(folder: Path, *options) -> int:
    arguments = ["--images", folder / "images", "--bookmarks", folder / "marks.csv", *options]
    arguments += ["--out-dir", folder / "out", "--quiet", "--split", "1,0,0"]
    return main([str(a) for a in arguments])


def train(folder: Path) -> dict:
    return json.loads((folder / "out/annotations/train.json").read_text())


def slices_of(content: dict, volume: str) -> list[int]:
    return [i["slice_index"] for i in content["images"] if i["volume_id"] == volume]


def test_a_correction_replaces_the_bookmark_and_is_listed(two):
    rows = (two / "marks.csv").read_text().splitlines()[1:]
    first, second = rows[:2]
    table = review(
        two,
        (moved(first, 1), "lesion"),
        (second, ""),
        (cross("a.mha", 6, x=30, half=4, across=3), "lesion"),
    )
    assert prepare(two, table) == 0
    content = train(two)
    assert len(content["annotations"]) == len(rows) + 1  # one corrected, one the same, one new
    x = sorted(a["recist"][0] for a in content["annotations"])
    assert x.count(13.0) == 1
    notes = (two / "out/notes.txt").read_text()
    assert notes.count("replaces") == 1 and "review.csv, row 2" in notes and "marks.csv" in notes


def test_a_rejected_finding_becomes_a_hard_negative(two):
    assert prepare(two, review(two, (cross("a.mha", 12), "not-a-lesion"))) == 0
    content = train(two)
    assert 12 in slices_of(content, "v0001")
    (image,) = [i for i in content["images"] if "hard_negatives" in i]
    assert (image["volume_id"], image["slice_index"]) == ("v0001", 12)
    assert not [a for a in content["annotations"] if a["image_id"] == image["id"]]
    (box,) = image["hard_negatives"]
    assert box == [12.0, 15.0, 17.0, 11.0]  # ends of the axes, half a pixel wider


def test_a_rejected_finding_near_a_lesion_ignores_what_that_may_cover(two):
    # Slice 5 is 9 and 12 mm from the crosses of 16 mm on slices 2 and 1.
    assert (
        prepare(two, review(two, (cross("a.mha", 5, x=30, half=4, across=3), "not-a-lesion"))) == 0
    )
    content = train(two)
    (image,) = [i for i in content["images"] if "hard_negatives" in i]
    assert (image["volume_id"], image["slice_index"]) == ("v0001", 5)
    regions = [a for a in content["annotations"] if a["image_id"] == image["id"]]
    of_slice = {i["id"]: i["slice_index"] for i in content["images"] if i["volume_id"] == "v0001"}
    lesions = [a for a in content["annotations"] if of_slice.get(a["image_id"]) in (1, 2)]
    assert [r["segmentation"] for r in regions] == [a["segmentation"] for a in lesions]
    assert {(r["iscrowd"], r["drawn"]) for r in regions} == {(1, "may reach")}


def test_a_rejected_bookmark_is_ignored_and_listed(two):
    first = (two / "marks.csv").read_text().splitlines()[1]
    assert prepare(two, review(two, (first, "not-a-lesion"))) == 0
    (region,) = [a for a in train(two)["annotations"] if a["iscrowd"]]
    assert region["drawn"] == "disputed" and int(rle.area(region["segmentation"])) > 4
    assert "rejects the bookmark" in (two / "out/notes.txt").read_text()


def test_what_is_not_judged_is_ignored(two):
    assert prepare(two, review(two, (cross("a.mha", 6), "ignore"))) == 0
    (region,) = [a for a in train(two)["annotations"] if a["iscrowd"]]
    assert region["drawn"] == "not judged"


def test_a_complete_volume_gives_its_lesion_free_slices(two):
    assert prepare(two) == 0
    before = [slices_of(train(two), name) for name in ("v0001", "v0002")]
    assert prepare(two, review(two, complete("a.mha")), "--overwrite") == 0
    after = [slices_of(train(two), name) for name in ("v0001", "v0002")]
    assert set(after[0]) > set(before[0]) and after[1] == before[1]


def test_reviews_may_call_volumes_by_pseudonyms(two):
    ids = two / "ids.csv"
    ids.write_text(f"volume_id,volume\nv0001,{two / 'images/a.mha'}\nv0002,b.mha\nv0003,/other\n")
    assert read_ids(ids, two / "images") == {"v0001": "a.mha", "v0002": "b.mha"}
    table = review(two, (cross("v0001", 12), "not-a-lesion"), complete("v0002"))
    assert prepare(two, table, "--bookmark-ids", ids) == 0
    assert [i["volume_id"] for i in train(two)["images"] if "hard_negatives" in i] == ["v0001"]


def test_a_review_by_itself_is_a_table_of_bookmarks(two):
    table = review(two, (cross("a.mha", 4), "lesion"), (cross("a.mha", 12), "not-a-lesion"))
    read = read_bookmarks(table)
    assert [r.slice_index for r in read.records] == [4]
    assert [r.slice_index for r in read.rejected] == [12]
    assert read.notes == []


@pytest.mark.parametrize(
    ("row", "status", "said"),
    [
        (cross("a.mha", 4), "perhaps", "in status"),
        (cross("a.mha", 4), "complete", "no coordinates"),
        (complete("gone.mha")[0], "complete", "found none"),
    ],
)
def test_wrong_rows_are_named(two, row, status, said):
    read = read_bookmarks(review(two, (row, status)), image_root=two / "images")
    assert len(read.errors) == 1 and said in str(read.errors[0])
    assert not read.complete_volumes


def test_a_table_of_other_columns_is_no_table_of_ids(two):
    (two / "ids.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="volume_id and volume"):
        read_ids(two / "ids.csv", two)


def test_two_bookmarks_of_one_table_at_one_place_get_a_note(two):
    rows = [cross("a.mha", 1), moved(cross("a.mha", 1), 2), cross("a.mha", 2)]
    (two / "marks.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    assert prepare(two) == 0
    assert (
        "marks.csv, row 3: lies on the place of marks.csv, row 2."
        in (two / "out/notes.txt").read_text()
    )
    assert len(train(two)["annotations"]) == 3
