"""From results of volumes to the table of slices and the strata."""

import pytest
from volume_results import result

from data_prep.dataset import collect
from data_prep.dataset.one_volume.volume_result import VolumeResult


def test_slices_are_listed_in_order_of_volumes():
    found = collect.collect([result(1, "a", [5.0, 6.0]), result(2, "b", slices=3)])
    assert found.volumes == [("v0001", "a"), ("v0002", "b")]
    assert found.slices.tolist() == [
        (0, 0, True, 2, 0, 0, b"1-0"),
        (0, 1, False, 0, 0, 0, b"1-1"),
        (1, 0, True, 0, 0, 0, b"2-0"),
        (1, 1, False, 0, 0, 0, b"2-1"),
        (1, 2, False, 0, 0, 0, b"2-2"),
    ]
    assert found.sources == {"ellipse": 2} and found.bookmarks == 2 and not found.has_gt


def test_a_volume_without_slices_counts_but_is_left_out():
    broken = VolumeResult("v0001", "a", n_bookmarks=1)
    broken.leave_out("v0001: broken")
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
