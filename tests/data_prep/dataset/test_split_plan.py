"""From the table of slices to splits."""

from dataclasses import replace

import pytest
from volume_results import result

from data_prep.dataset.collect import collect
from data_prep.dataset.split_plan import ONE_PATIENT, SplitOptions, plan_splits
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
    (plan,), _ = plan_splits(found, SplitOptions(given=given))
    assert plan.codes.tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    message = (
        r"identical slices in test \(v0002/v0002_0000.png\) and val \(v0001/v0001_0001.png\)\. "
    )
    with pytest.raises(DataError, match=message):
        plan_splits(found, SplitOptions(given=given | {"p2": "test"}))


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
    assert not plan.by_patient and notes == [ONE_PATIENT]
    with pytest.raises(DataError, match="at least 5 patients for 5 folds but got 1"):
        plan_splits(found, SplitOptions(folds=5))


def test_nothing_at_all():
    found = collect([])
    (plan,), _ = plan_splits(found, SplitOptions())
    assert len(found.slices) == len(plan.codes) == 0
