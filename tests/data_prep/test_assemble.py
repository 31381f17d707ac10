"""From results of volumes to numbered entries, strata and splits."""

import pytest

from data_prep import assemble
from data_prep.assemble import SplitOptions
from data_prep.errors import DataError


def result(number, patient, shorts=(), site=None, slices=2):
    """The result of a small volume with one lesion per short axis, all on slice 0."""
    kinds = ["lesion" if shorts else "empty", *["extra"] * (slices - 1)]
    lesion = {"slice_index": 0, "bbox": [0, 0, 2, 2]} | ({"site": site} if site else {})
    return {
        "volume_id": f"v{number:04d}",
        "patient_id": patient,
        "shape_zyx": [slices, 4, 5],
        "spacing_mm": [1.0, 1.0, 3.0],
        "slices": [
            {"slice_index": z, "kind": kind, "digest": f"{number}-{z}"}
            for z, kind in enumerate(kinds)
        ],
        "lesions": [lesion | {"short_axis_mm": s, "long_axis_mm": 2 * s} for s in shorts],
        "truth": None,
    }


def test_entries_are_numbered_in_order_of_volumes_and_slices():
    found = assemble.collect([result(1, "a", [5.0, 6.0]), result(2, "b", slices=3)], context=1)
    assert [image["id"] for image in found.images] == [1, 2, 3, 4, 5]
    assert found.listed == {1, 3}
    assert [(a["id"], a["image_id"]) for a in found.lesions] == [(1, 1), (2, 1)]
    assert found.images[2]["neighbours"] == ["v0002/0000.png", "v0002/0001.png"]
    assert "neighbours" not in found.images[1]
    assert (found.images[0]["width"], found.images[0]["height"]) == (5, 4)


def test_a_volume_without_slices_is_left_out():
    broken = result(1, "a") | {"slices": [], "lesions": []}
    found = assemble.collect([broken, result(2, "b")], context=0)
    assert {image["volume_id"] for image in found.images} == {"v0002"}


@pytest.mark.parametrize(
    ("short", "name"),
    [(9.99, "< 10 mm"), (10.0, "10-20 mm"), (20.0, "10-20 mm"), (20.01, "> 20 mm")],
)
def test_size_classes(short, name):
    assert assemble.size_class(short) == name


def test_strata_are_the_most_frequent_site_and_the_largest_lesion():
    results = [
        result(1, "a", [5.0, 12.0], "pelvis"),
        result(2, "a", [25.0], "mesentery"),
        result(3, "b", [5.0]),
        result(4, "c"),
    ]
    assert assemble.strata(assemble.collect(results, 0)) == {
        "a": ("pelvis", "> 20 mm"),
        "b": ("", "< 10 mm"),
        "c": ("", "no lesion"),
    }


def test_lesion_free_patients_reach_every_split():
    results = [result(i, f"p{i:02d}", [8.0] if i < 20 else []) for i in range(23)]
    (plan,), remarks = assemble.plan_splits(assemble.collect(results, 0), SplitOptions())
    splits = {image_id: split for image_id, split in plan.split_of.items()}
    found = assemble.collect(results, 0)
    empty = [i for i in found.images if i["id"] in found.listed][-3:]
    assert {splits[image["id"]] for image in empty} == {"train", "val", "test"}
    assert remarks == ["Split by patient, seed 0."]


def test_too_few_patients_are_remarked():
    results = [result(i, f"p{i}", [8.0]) for i in range(2)]
    _, remarks = assemble.plan_splits(assemble.collect(results, 0), SplitOptions())
    assert remarks[1:] == [
        "Too few patients with lesions (2): val has none.",
        "Too few patients with lesions (2): test has none.",
    ]


def test_one_patient_gets_blocks_but_no_folds():
    found = assemble.collect([result(1, "a", [8.0], slices=6)], 0)
    (plan,), remarks = assemble.plan_splits(found, SplitOptions())
    assert not plan.by_patient and remarks == [assemble.ONE_PATIENT]
    with pytest.raises(DataError, match="at least 5 patients for 5 folds but got 1"):
        assemble.plan_splits(found, SplitOptions(folds=5))


def test_nothing_at_all():
    found = assemble.collect([], 0)
    (plan,), _ = assemble.plan_splits(found, SplitOptions())
    written = assemble.files(found, plan, whole_volumes=False)
    assert written["train.json"]["images"] == [] and len(written) == 6
