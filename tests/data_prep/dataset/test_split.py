"""Splits by patient: shares, strata, folds, blocks, lists and leakage."""

from collections import Counter

import pytest

from data_prep.dataset.split import (
    check_leakage,
    read_split_file,
    slice_blocks,
    split_folds,
    split_patients,
)
from data_prep.errors import DataError


def test_shares_are_exact_and_each_patient_is_in_one_split():
    split = split_patients({f"p{i}": "" for i in range(584)}, seed=0)
    assert Counter(split.values()) == {"train": 409, "val": 88, "test": 87}
    assert len(split) == 584


def test_seed_decides_and_order_of_input_does_not():
    strata = {f"p{i:02d}": i % 3 for i in range(40)}
    backwards = dict(reversed(strata.items()))
    assert split_patients(strata, seed=7) == split_patients(backwards, seed=7)
    assert split_patients(strata, seed=7) != split_patients(strata, seed=8)


def test_every_stratum_is_spread_by_the_shares():
    strata = {f"p{i:03d}": ("small", "large", "no lesion")[min(i // 60, 2)] for i in range(140)}
    split = split_patients(strata, seed=3)
    for name, size in (("small", 60), ("large", 60), ("no lesion", 20)):
        counts = Counter(split[p] for p in strata if strata[p] == name)
        for part, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
            assert abs(counts[part] - share * size) <= 1


def test_single_patients_of_many_strata_still_meet_the_shares():
    split = split_patients({f"p{i}": f"site {i}" for i in range(41)}, seed=0)
    assert Counter(split.values()) == {"train": 29, "val": 6, "test": 6}


@pytest.mark.parametrize(
    ("n", "wanted"),
    [
        (0, {}),
        (1, {"train": 1}),
        (2, {"train": 2}),
        (3, {"train": 1, "val": 1, "test": 1}),
        (4, {"train": 2, "val": 1, "test": 1}),
    ],
)
def test_few_patients(n, wanted):
    assert Counter(split_patients({f"p{i}": "" for i in range(n)}).values()) == wanted


def test_a_share_of_zero_gets_nobody():
    split = split_patients({f"p{i}": "" for i in range(10)}, (0.8, 0.0, 0.2))
    assert Counter(split.values()) == {"train": 8, "test": 2}


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.2, 0.1), (1.2, -0.1, -0.1)])
def test_wrong_shares_are_refused(shares):
    with pytest.raises(ValueError, match="three shares ≥ 0 with sum 1"):
        split_patients({"p": ""}, shares)


def test_folds_test_each_patient_once_and_are_even():
    strata = {f"p{i:02d}": i % 2 for i in range(23)}
    folds = split_folds(strata, 5, seed=1)
    tested = Counter(p for fold in folds for p, part in fold.items() if part == "test")
    validated = Counter(p for fold in folds for p, part in fold.items() if part == "val")
    assert tested == validated == Counter(strata.keys())
    assert {sum(part == "test" for part in fold.values()) for fold in folds} == {4, 5}
    with pytest.raises(ValueError, match="3 to 23 folds"):
        split_folds(strata, 24)
    with pytest.raises(ValueError, match="at least 3 patients for folds but got 2"):
        split_folds({"p1": 0, "p2": 0}, 2)


def test_blocks_are_contiguous_and_share_the_slices_with_lesions():
    slices = [(z, z % 2 == 0) for z in range(40)]
    blocks = slice_blocks(slices)
    order = [blocks[z] for z in range(40)]
    assert order == sorted(order, key=("train", "val", "test").index)
    counts = Counter(blocks[z] for z, holds in slices if holds)
    assert counts == {"train": 14, "val": 3, "test": 3}


def test_blocks_without_any_lesion_and_with_empty_ends():
    assert Counter(slice_blocks([(z, False) for z in range(20)]).values()) == {
        "train": 14,
        "val": 3,
        "test": 3,
    }
    blocks = slice_blocks([(0, False), (1, True), (2, True), (3, True), (4, False)])
    assert blocks == {0: "train", 1: "train", 2: "val", 3: "test", 4: "test"}


def _images(**patients):
    return {
        split: [
            {"patient_id": p, "volume_id": f"v{p}", "file_name": f"v{p}/0000.png", "digest": p}
            for p in names
        ]
        for split, names in patients.items()
    }


def test_leakage_of_a_patient_is_named():
    check_leakage(_images(train="abc", val="de", test="f"))
    with pytest.raises(DataError) as caught:
        check_leakage(_images(train="abc", val="cde", test="f"))
    assert str(caught.value) == (
        "Expected splits that share nothing but got patient c in train (vc/0000.png) and val"
        " (vc/0000.png) (and 3 more). Give both volumes the same patient, or remove the copy."
    )


def test_leakage_of_a_copied_slice_under_another_name_is_found():
    images = _images(train="ab", test="c")
    images["test"][0]["digest"] = "a"
    with pytest.raises(DataError, match=r"identical slices in test \(vc/0000\.png\) and train"):
        check_leakage(images)
    images["test"][0]["digest"] = images["train"][0]["digest"] = None  # of a constant slice
    check_leakage(images)


def test_blocks_of_one_patient_may_share_the_patient_but_no_slice():
    images = _images(train="a", val="a")
    images["val"][0]["file_name"] = "va/0001.png"
    check_leakage(images, by_patient=False)
    with pytest.raises(DataError, match=r"slice va/0000\.png in train"):
        check_leakage(_images(train="a", val="a"), by_patient=False)


def test_split_file_in_words_and_numbers(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("\ufeffPatient,Split\na,train\nb,2\nc,Testing\nc,test\n", encoding="utf-8")
    assert read_split_file(path) == {"a": "train", "b": "val", "c": "test"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "patient,split\na,train\nb,dev\n",
            "s.csv, row 3: Expected train, val or test but got 'dev'. Correct the split.",
        ),
        (
            "patient,split\na,train\na,test\n",
            "s.csv, row 3: Expected one split per patient but got train and test for the same one."
            " Remove one of the rows.",
        ),
        (
            'patient,split\n\n"a\nb",train\n\nc,dev\n',
            "s.csv, row 6: Expected train, val or test but got 'dev'. Correct the split.",
        ),
        (
            "patient,split\nJos\udce9,train\n",
            "s.csv: Expected a readable CSV file but got: text that is not UTF-8. Name another"
            " file.",
        ),
        (
            "",
            "s.csv: Expected the columns patient (or volume) and split but got none. Add a header"
            " row.",
        ),
        (
            "name,part\na,train\n",
            "s.csv: Expected the columns patient (or volume) and split but got name, part. Add a"
            " header row.",
        ),
    ],
)
def test_split_file_errors(tmp_path, text, error):
    path = tmp_path / "s.csv"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(DataError) as caught:
        read_split_file(path)
    assert str(caught.value) == error


def test_a_split_file_that_is_not_there_is_named_without_its_folders(tmp_path):
    with pytest.raises(DataError) as caught:
        read_split_file(tmp_path / "Doe_Jane" / "s.csv")
    assert str(caught.value) == (
        "s.csv: Expected a readable CSV file but got: No such file or directory. Name another file."
    )
