"""From results of volumes to the table of slices, strata and splits."""

import pytest

from data_prep.dataset import collect
from data_prep.dataset.collect import SplitOptions
from data_prep.errors import DataError


def result(number, patient, shorts=(), site=None, slices=2):
    """The result of a small volume with one lesion per short axis, all on slice 0."""
    kinds = ["lesion" if shorts else "empty", *["extra"] * (slices - 1)]
    lesion = {"slice_index": 0, "mask_source": "ellipse"} | ({"site": site} if site else {})
    return {
        "volume_id": f"v{number:04d}",
        "patient_id": patient,
        "n_bookmarks": len(shorts),
        "errors": [],
        "remarks": [],
        "stored_size": [5, 4, slices],
        "shape_zyx": [slices, 4, 5],
        "spacing_mm": [1.0, 1.0, 3.0],
        "slices": [
            {"slice_index": z, "kind": kind, "digest": f"{number}-{z}"}
            for z, kind in enumerate(kinds)
        ],
        "lesions": [lesion | {"short_axis_mm": s, "long_axis_mm": 2 * s} for s in shorts],
        "truth": None,
    }


def test_slices_are_listed_in_order_of_volumes():
    found = collect.collect([result(1, "a", [5.0, 6.0]), result(2, "b", slices=3)])
    assert found.volumes == [("v0001", "a"), ("v0002", "b")]
    assert found.slices.tolist() == [
        (0, 0, True, 2, 0, b"1-0"),
        (0, 1, False, 0, 0, b"1-1"),
        (1, 0, True, 0, 0, b"2-0"),
        (1, 1, False, 0, 0, b"2-1"),
        (1, 2, False, 0, 0, b"2-2"),
    ]
    assert found.sources == {"ellipse": 2} and found.bookmarks == 2 and not found.has_truth


def test_a_volume_without_slices_counts_but_is_left_out():
    broken = result(1, "a", [5.0]) | {"slices": [], "lesions": [], "errors": ["v0001: broken"]}
    del broken["stored_size"]
    found = collect.collect([broken, result(2, "b")])
    assert found.volumes == [("v0002", "b")] and set(found.slices["volume"]) == {0}
    assert found.stored_sizes == [None, (5, 4, 2)]
    assert found.errors == ["v0001: broken"] and found.bookmarks == 1


@pytest.mark.parametrize(
    ("short", "name"),
    [(9.99, "< 10 mm"), (10.0, "10-20 mm"), (20.0, "10-20 mm"), (20.01, "> 20 mm")],
)
def test_size_classes(short, name):
    assert collect.size_class(short) == name


def test_strata_are_the_most_frequent_site_and_the_largest_lesion():
    results = [
        result(1, "a", [5.0, 12.0], "pelvis"),
        result(2, "a", [25.0], "mesentery"),
        result(3, "b", [5.0]),
        result(4, "c"),
    ]
    assert collect.collect(results).strata == {
        "a": ("pelvis", "> 20 mm"),
        "b": ("", "< 10 mm"),
        "c": ("", "no lesion"),
    }


def test_lesion_free_patients_reach_every_split():
    results = [result(i, f"p{i:02d}", [8.0] if i < 20 else []) for i in range(23)]
    found = collect.collect(results)
    (plan,), remarks = collect.plan_splits(found, SplitOptions())
    assert set(plan.codes[found.slices["listed"]][-3:]) == {0, 1, 2}
    assert remarks == ["Split by patient, seed 0."]


def test_copies_of_a_slice_may_stand_in_one_split_only():
    results = [result(i, f"p{i}", [8.0]) for i in range(4)]
    results[1]["slices"][1]["digest"] = results[2]["slices"][0]["digest"]
    # Slices of one value look alike without being copies.
    results[0]["slices"][0]["digest"] = results[3]["slices"][0]["digest"] = None
    found = collect.collect(results)
    given = {"p0": "train", "p1": "val", "p2": "val", "p3": "test"}
    (plan,), _ = collect.plan_splits(found, SplitOptions(given=given))
    assert plan.codes.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    message = r"identical slices in test \(v0002/0000.png\) and val \(v0001/0001.png\)\. "
    with pytest.raises(DataError, match=message):
        collect.plan_splits(found, SplitOptions(given=given | {"p2": "test"}))


def test_too_few_patients_are_remarked():
    results = [result(i, f"p{i}", [8.0]) for i in range(2)]
    _, remarks = collect.plan_splits(collect.collect(results), SplitOptions())
    assert remarks[1:] == [
        "Too few patients with lesions (2): val has none.",
        "Too few patients with lesions (2): test has none.",
    ]


def test_one_patient_gets_blocks_but_no_folds():
    found = collect.collect([result(1, "a", [8.0], slices=6)])
    (plan,), remarks = collect.plan_splits(found, SplitOptions())
    assert not plan.by_patient and remarks == [collect.ONE_PATIENT]
    with pytest.raises(DataError, match="at least 5 patients for 5 folds but got 1"):
        collect.plan_splits(found, SplitOptions(folds=5))


def test_nothing_at_all():
    found = collect.collect([])
    (plan,), _ = collect.plan_splits(found, SplitOptions())
    assert len(found.slices) == len(plan.codes) == 0
