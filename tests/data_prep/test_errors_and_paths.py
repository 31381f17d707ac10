"""The error class, and paths that stay inside their root."""

import os
import pickle

import pytest

from data_prep.errors import DataError, told_apart
from data_prep.paths import relative_name, resolve_under


@pytest.mark.parametrize(
    ("a", "b", "shown"),
    [
        (1, 2, ("1.0", "2.0")),
        (20.0, 20.03, ("20.00", "20.03")),
        (75, 74.9999, ("75.0000", "74.9999")),
        (5, 5, ("5." + "0" * 17,) * 2),
    ],
)
def test_unequal_numbers_are_told_apart(a, b, shown):
    assert told_apart(a, b) == shown


def test_error_is_one_line_that_says_where():
    error = DataError("Expected a\nnumber but got\tx.", path="sub/b.csv", row=12, slice_index=40)
    assert str(error) == "sub/b.csv, row 12, slice 40: Expected a number but got x."
    assert (error.path, error.row, error.slice_index) == ("sub/b.csv", 12, 40)
    assert isinstance(error, ValueError)
    assert str(DataError("Plain.")) == "Plain."
    assert str(DataError("Bad \x1b[31m.", path="a\nb")) == "a b: Bad ?[31m."


def test_of_an_absolute_path_only_the_last_part_is_shown():
    assert str(DataError("Bad.", path="/data/DOE_JOHN/scan.nii")) == "scan.nii: Bad."
    assert relative_name("/data/DOE_JOHN/scan.nii") == "scan.nii"
    assert relative_name("/data/set/a/scan.nii", "/data/set") == "a/scan.nii"
    assert relative_name("/data/set", "/data/set") == "set"
    assert relative_name("/elsewhere/scan.nii", "/data/set") == "scan.nii"


def test_error_comes_whole_out_of_a_worker():
    error = DataError("Bad.", path="a", row=1, slice_index=2)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_resolve_under(tmp_path):
    assert resolve_under(tmp_path, "a/./b/../c.nii") == tmp_path / "a" / "c.nii"
    (tmp_path / "inside").mkdir()
    os.symlink(tmp_path / "inside", tmp_path / "link")
    assert resolve_under(tmp_path, "link/x") == tmp_path / "link" / "x"
    os.symlink("/", tmp_path / "out")
    for bad in ("/etc/passwd", "../x", "a/../../x", "out/etc", "out#1.2", "~/x", "", "a\0b"):
        with pytest.raises(DataError):
            resolve_under(tmp_path, bad)
    with pytest.raises(DataError, match="that the system refuses"):
        resolve_under(tmp_path, "x" * 300)
