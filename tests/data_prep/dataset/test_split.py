"""Splits by patient: shares, strata, folds, blocks, lists and leakage."""

from collections import Counter

import pytest

from data_prep.dataset.splits.split import (
    _whole_shares,
    check_leakage,
    leaks,
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
    message = r"identical slices in test \(vc/0000\.png\) and train \(va/0000\.png\)\. Give both"
    with pytest.raises(DataError, match=message):
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
            "patient,split\na,train\nb\n",
            "s.csv, row 3: Expected train, val or test but got ''. Correct the split.",
        ),
        (
            "patient,part\na,train\n",
            "s.csv: Expected the columns patient (or volume) and split but got patient, part. Add a"
            " header row.",
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


STRATA = {f"p{i}": "large" if i % 3 == 0 else "small" for i in range(10)}


def parts(text):
    """Patient p0, p1, … → split, from one letter each: t train, v val, s test."""
    names = {"t": "train", "v": "val", "s": "test"}
    return {f"p{i}": names[letter] for i, letter in enumerate(text)}


def test_a_split_stays_the_same_from_version_to_version():
    assert split_patients(STRATA) == split_patients(STRATA, seed=0) == parts("vttttstvtt")
    folds = [*map(parts, ["vtttvssttt", "sttvsttvtt", "ttvstttstv", "tvstttttvs", "tstttvvtst"])]
    assert split_folds(STRATA, 5) == split_folds(STRATA, 5, seed=0) == folds


def test_the_validation_set_of_a_fold_is_the_next_one_s_test_set():
    folds = split_folds(STRATA, 4)
    assert {part for fold in folds for part in fold.values()} == {"train", "val", "test"}
    for fold, following in zip(folds, folds[1:] + folds[:1], strict=True):
        validated = {p for p in STRATA if fold[p] == "val"}
        assert validated == {p for p in STRATA if following[p] == "test"} != set()


def test_as_many_folds_as_patients_and_three_at_least():
    three = {"a": 0, "b": 0, "c": 0}
    assert (
        sorted(sorted(fold.values()) for fold in split_folds(three, 3))
        == [["test", "train", "val"]] * 3
    )
    for folds in (2, 4):
        with pytest.raises(ValueError, match=f"Expected 3 to 3 folds .* but got {folds}"):
            split_folds(three, folds)


@pytest.mark.parametrize(
    ("n", "shares", "wanted"),
    [
        (7, (0.6, 0.25, 0.15), [4, 2, 1]),  # 4.2, 1.75, 1.05: the largest remainder, not share
        (9, (0.7, 0.15, 0.15), [6, 2, 1]),  # 6.3, 1.35, 1.35: of equal remainders the first
        (4, (0.98, 0.01, 0.01), [2, 1, 1]),  # one each, from the largest
        (2, (0.98, 0.01, 0.01), [2, 0, 0]),  # not enough for all
        (30, [1 / 20] * 20, [2] * 10 + [1] * 10),
        (100, (0.29, 0.29, 0.42), [29, 29, 42]),  # 0.29 · 100 = 28.999…
    ],
)
def test_whole_shares_by_hand(n, shares, wanted):
    assert _whole_shares(n, shares) == wanted


def test_blocks_have_the_usual_shares_by_default():
    blocks = slice_blocks([(z, True) for z in range(9)])
    assert [blocks[z] for z in range(9)] == ["train"] * 6 + ["val"] * 2 + ["test"]


def test_all_words_of_a_split_file(tmp_path):
    words = {
        "train": ("train", "training", "1"),
        "val": ("val", "valid", "validation", "2"),
        "test": ("test", "testing", "3", " TEST "),
    }
    named = {f"{split} {word}": (split, word) for split in words for word in words[split]}
    lines = [f"{name},{word}" for name, (_, word) in named.items()]
    (tmp_path / "s.csv").write_text("\n".join(["volume,split", *lines]))
    given = read_split_file(str(tmp_path / "s.csv"))
    assert given == {name.strip(): split for name, (split, _) in named.items()}
    (tmp_path / "s.csv").write_text("volume,patient,split\nv.nii,p,test\n")
    assert read_split_file(tmp_path / "s.csv") == {"p": "test"}


def test_all_that_leaks_is_listed_in_the_order_of_what_is_worst():
    images = _images(train="ab", val="b")
    images["val"][0]["digest"] = "other"
    assert leaks(images) == [
        "patient b in train (vb/0000.png) and val (vb/0000.png)",
        "volume vb in train (vb/0000.png) and val (vb/0000.png)",
        "slice vb/0000.png in train (vb/0000.png) and val (vb/0000.png)",
    ]
    images["val"][0] |= {"file_name": "vb/0001.png", "digest": "b"}
    assert leaks(images)[2:] == ["identical slices in train (vb/0000.png) and val (vb/0001.png)"]
    assert leaks(images, by_patient=False) == []
    images["val"][0] |= {"digest": None}
    with pytest.raises(DataError, match=r"patient b in .* \(and 1 more\)\. "):
        check_leakage(images)
