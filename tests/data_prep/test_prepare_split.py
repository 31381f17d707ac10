"""Splits on the command line of `prepare`: folds, lists, one patient, leakage."""

import csv
import json
import shutil

import pytest

from data_prep import prepare

SPLITS = ("train", "val", "test")


def run(data, out, *more, bookmarks=None):
    marks = bookmarks or data / "bookmarks.csv"
    source = ["--images", data / "images", "--bookmarks", marks, "--out-dir", out, "--overlays", 0]
    source += ["--ids", f"{out}_ids.csv"]
    return prepare.main([*map(str, source), "--quiet", *map(str, more)])


def patients(out, folder=""):
    """Split → names of its patients, undone by --ids."""
    with open(f"{out}_ids.csv", newline="") as stream:
        names = {row["patient_id"]: row["patient"] for row in csv.DictReader(stream)}
    result = {}
    for split in SPLITS:
        content = json.loads((out / "annotations" / f"{folder}{split}.json").read_bytes())
        result[split] = {names[image["patient_id"]] for image in content["images"]}
    return result


def edited(data, path, edit):
    """The bookmark table with every row changed by `edit`."""
    with open(data / "bookmarks.csv", newline="") as stream:
        rows = [edit(dict(row)) for row in csv.DictReader(stream)]
    rows = [row for row in rows if row is not None]
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_folds_test_every_patient_once(phantom_dataset, tmp_path):
    out = tmp_path / "out"
    assert run(phantom_dataset, out, "--folds", 3) == 0
    tested = [patients(out, f"fold{i}/")["test"] for i in range(3)]
    assert sorted(name for fold in tested for name in fold) == [
        f"phantom_{i:03d}" for i in range(6)
    ]
    for i in range(3):
        parts = patients(out, f"fold{i}/")
        assert sum(map(len, parts.values())) == 6 == len(set().union(*parts.values()))
    assert not (out / "annotations" / "train.json").exists()


def test_more_folds_than_patients(phantom_dataset, tmp_path, capsys):
    assert run(phantom_dataset, tmp_path / "out", "--folds", 7) == 2
    assert "Expected 3 to 6 folds" in capsys.readouterr().err


def test_a_given_list_is_followed(phantom_dataset, tmp_path):
    listed = tmp_path / "split.csv"
    wanted = {"train": {"phantom_000", "phantom_004"}, "val": {"phantom_001"}}
    wanted["test"] = {"phantom_002", "phantom_003", "phantom_005"}
    lines = [f"{name},{split}" for split, names in wanted.items() for name in sorted(names)]
    listed.write_text("\n".join(["patient,split", *lines]))
    assert run(phantom_dataset, tmp_path / "out", "--split-file", listed) == 0
    assert patients(tmp_path / "out") == wanted


def test_a_list_that_forgets_a_patient_is_refused(phantom_dataset, tmp_path, capsys):
    listed = tmp_path / "split.csv"
    listed.write_text("patient,split\nphantom_000,train\n")
    assert run(phantom_dataset, tmp_path / "out", "--split-file", listed) == 2
    assert capsys.readouterr().err == (
        "error: Expected a split for every patient but got none for 5 of them, such as p0002 (--ids"
        " FILE tells its name). List them all, or leave the given split out.\n"
    )


def test_the_split_column_of_the_bookmarks_is_followed(phantom_dataset, tmp_path):
    order = ("train", "train", "val", "test", "test", "train")
    marks = edited(
        phantom_dataset,
        tmp_path / "marks.csv",
        lambda row: row | {"split": order[int(row["patient"][-1])]},
    )
    assert run(phantom_dataset, tmp_path / "out", bookmarks=marks) == 0
    assert patients(tmp_path / "out") == {
        "train": {"phantom_000", "phantom_001", "phantom_005"},
        "val": {"phantom_002"},
        "test": {"phantom_003", "phantom_004"},
    }
    # An explicit share overrules the column.
    assert run(phantom_dataset, tmp_path / "two", "--split", "0.5,0,0.5", bookmarks=marks) == 0
    assert len(patients(tmp_path / "two")["test"]) == 3


def test_volumes_of_one_patient_stay_together(phantom_dataset, tmp_path):
    marks = edited(
        phantom_dataset,
        tmp_path / "marks.csv",
        lambda row: row | {"patient": f"pair {int(row['patient'][-1]) // 2}"},
    )
    assert run(phantom_dataset, tmp_path / "out", bookmarks=marks) == 0
    parts = patients(tmp_path / "out")
    assert sorted(len(names) for names in parts.values()) == [1, 1, 1]
    for split in SPLITS:
        content = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_bytes())
        assert len({image["volume_id"] for image in content["images"]}) == 2


def test_patients_from_the_names_of_volumes(phantom_dataset, tmp_path):
    marks = edited(
        phantom_dataset,
        tmp_path / "marks.csv",
        lambda row: {k: v for k, v in row.items() if k != "patient"},
    )
    options = ["--patient-pattern", r"_(\d+)\."]
    assert run(phantom_dataset, tmp_path / "out", *options, bookmarks=marks) == 0
    names = set().union(*patients(tmp_path / "out").values())
    assert names == {f"{i:03d}" for i in range(6)}


def test_one_patient_is_split_in_blocks_and_says_so(phantom_dataset, tmp_path, capsys):
    marks = edited(
        phantom_dataset,
        tmp_path / "marks.csv",
        lambda row: row if row["patient"] == "phantom_001" else None,
    )
    options = ["--masks", phantom_dataset / "masks", "--context", "1"]
    assert run(phantom_dataset, tmp_path / "out", *options, bookmarks=marks) == 0
    assert "One patient only: split by contiguous blocks of slices." in capsys.readouterr().out
    slices = {}
    for split in SPLITS:
        content = json.loads((tmp_path / "out" / "annotations" / f"{split}.json").read_bytes())
        slices[split] = [image["slice_index"] for image in content["images"]]
    assert max(slices["train"]) < min(slices["val"]) <= max(slices["val"]) < min(slices["test"])


def test_a_copy_of_a_volume_under_another_patient_is_leakage(phantom_dataset, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(phantom_dataset / "images", data / "images")
    shutil.copy(phantom_dataset / "bookmarks.csv", data / "bookmarks.csv")
    for i in range(1, 6):  # all the same: whatever the split, two parts share a picture
        shutil.copy(
            data / "images" / "phantom_000.nii.gz", data / "images" / f"phantom_00{i}.nii.gz"
        )
    assert run(data, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: Expected splits that share nothing but got identical slices in")
    assert not (tmp_path / "out" / "annotations").exists()


@pytest.mark.parametrize("given", ["0.7,0.2", "a,b,c", "0.9,0.2,0.1", "nan,0,1"])
def test_shares_that_are_none(phantom_dataset, tmp_path, given, capsys):
    with pytest.raises(SystemExit) as caught:
        run(phantom_dataset, tmp_path / "out", "--split", given)
    assert caught.value.code == 2
    assert "expected three shares of 0 or more with sum 1" in capsys.readouterr().err
