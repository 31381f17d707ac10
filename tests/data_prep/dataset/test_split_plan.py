"""From the table of slices to splits."""

from dataclasses import replace

import pytest
from volume_results import result

from data_prep.dataset.collect import collect
from data_prep.dataset.one_volume.volume_result import SliceResult
from data_prep.dataset.splits.split_plan import ONE_PATIENT, SplitOptions, plan_splits
from data_prep.errors import DataError


def set_digest(volume, z, digest):
    volume.slices[z] = replace(volume.slices[z], digest=digest)


def test_lesion_free_patients_reach_every_split():
    results = [result(i, f"p{i:02d}", [8.0] if i < 20 else []) for i in range(23)]
    found = collect(results)
    (plan,), notes = plan_splits(found, SplitOptions())
    assert set(plan.codes[found.slices["listed"]][-3:]) == {0, 1, 2}
    assert notes == ["Split by patient, seed 0."]


def test_copies_of_a_slice_may_stand_in_one_split_only():
    results = [result(i, f"p{i}", [8.0]) for i in range(4)]
    set_digest(results[1], 1, results[2].slices[0].digest)
    # Slices of one value look alike without being copies.
    set_digest(results[0], 0, None)
    set_digest(results[3], 0, None)
    found = collect(results)
    given = {"p0": "train", "p1": "val", "p2": "val", "p3": "test"}
    (plan,), notes = plan_splits(found, SplitOptions(given=given))
    assert plan.codes.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    assert plan.folder == "" and notes == ["Split as given."]
    message = (
        r"identical slices in test \(v0002/v0002_0000.png\) and val \(v0001/v0001_0001.png\)\. "
    )
    with pytest.raises(DataError, match=message):
        plan_splits(found, SplitOptions(given=given | {"p2": "test"}))
    with pytest.raises(DataError, match=r"identical slices in test .* and train "):
        plan_splits(found, SplitOptions(given=given | {"p1": "train", "p2": "test"}))


def test_a_slice_in_no_split_is_no_copy():
    results = [result(i, f"p{i}", [8.0] if i < 3 else [], slices=1) for i in range(4)]
    results[3].slices.clear()  # a patient without a slice is in no split
    results.append(result(4, "p3", slices=1))
    results[4].slices[:] = [SliceResult(0, "extra", results[0].slices[0].digest)]
    plans, _ = plan_splits(collect(results), SplitOptions(folds=3))
    assert all(plan.codes.tolist()[3] == -1 for plan in plans)


def test_too_few_patients_are_noted():
    results = [result(i, f"p{i}", [8.0]) for i in range(2)]
    _, notes = plan_splits(collect(results), SplitOptions())
    assert notes[1:] == [
        "Too few patients with lesions (2): val has none.",
        "Too few patients with lesions (2): test has none.",
    ]


def test_one_patient_gets_blocks_but_no_folds():
    found = collect([result(1, "a", [8.0], slices=6)])
    (plan,), notes = plan_splits(found, SplitOptions())
    assert not plan.by_patient and notes == [ONE_PATIENT] and plan.folder == ""
    assert notes[0].startswith("One patient only: split by contiguous blocks of slices. ")
    with pytest.raises(DataError, match="at least 5 patients for 5 folds but got 1"):
        plan_splits(found, SplitOptions(folds=5))


def test_blocks_of_one_patient_share_out_its_slices_with_lesions():
    volume = result(1, "a", [8.0], slices=9)
    first = volume.lesions[0]
    volume.lesions += [replace(first, slice_index=z) for z in (1, 1, 6, 7)]
    volume.slices[:] = [
        replace(s, kind="lesion" if s.slice_index in (0, 1, 6, 7) else "extra")
        for s in volume.slices
    ]
    (plan,), _ = plan_splits(collect([volume]), SplitOptions(fractions=(0.5, 0.25, 0.25)))
    assert plan.codes.tolist() == [0, 0, 0, 0, 0, 0, 1, 2, 2]


def test_folds_are_named_and_told():
    found = collect([result(i, f"p{i}", [8.0]) for i in range(4)])
    plans, notes = plan_splits(found, SplitOptions(folds=4, seed=3))
    assert [plan.folder for plan in plans] == ["fold0/", "fold1/", "fold2/", "fold3/"]
    assert notes == ["Split by patient into 4 folds, seed 3."]
    with pytest.raises(DataError, match=r"\. Choose another number of --folds\.$"):
        plan_splits(found, SplitOptions(folds=5))


def test_a_patient_without_a_given_split_is_counted_and_named():
    found = collect([result(i, f"p{i}", [8.0]) for i in range(3)])
    message = r"none for 2 of them, such as p1 \(--ids FILE tells its name\)\. List them all"
    with pytest.raises(DataError, match=message):
        plan_splits(found, SplitOptions(given={"p0": "train"}))


def test_a_split_without_a_share_needs_no_patient():
    found = collect([result(i, f"p{i}", [8.0]) for i in range(3)])
    (plan,), notes = plan_splits(found, SplitOptions(fractions=(0.5, 0.0, 0.5)))
    assert notes == ["Split by patient, seed 0."]
    assert plan.folder == "" and set(plan.codes.tolist()) == {0, 2}


def test_nothing_at_all():
    found = collect([])
    (plan,), _ = plan_splits(found, SplitOptions())
    assert len(found.slices) == len(plan.codes) == 0
