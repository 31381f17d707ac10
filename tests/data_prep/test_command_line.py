"""What the commands share: types of arguments, and terminals that know few characters."""

import argparse
import os
import subprocess
import sys

import pytest

from data_prep.command_line import at_least, between

ASCII = os.environ | {"PYTHONIOENCODING": "ascii"}


@pytest.mark.parametrize("command", ["prepare", "verify", "score_pseudo_masks", "phantoms"])
def test_help_on_any_terminal(command):
    line = [sys.executable, "-m", f"data_prep.{command}", "--help"]
    done = subprocess.run(line, env=ASCII, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_a_name_in_other_letters_changes_no_exit_status(tmp_path):
    (tmp_path / "images").mkdir()
    marks = tmp_path / "marks.csv"
    axes = ("long_x1", "long_y1", "long_x2", "long_y2")
    header = ",".join(("volume", "slice", *axes, *(a.replace("long", "short") for a in axes)))
    marks.write_text(f"{header}\n日本.nii,1,1,2,9,2,5,1,5,4\n", encoding="utf-8")
    line = [sys.executable, "-m", "data_prep.prepare", "--images", str(tmp_path / "images")]
    line += ["--bookmarks", str(marks), "--out-dir", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run(line, env=ASCII, capture_output=True, text=True)
    assert done.returncode == 1
    assert "row 2: Expected the volume '??.nii' in the image folder" in done.stderr
    assert "日本.nii" in (tmp_path / "out" / "errors.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (at_least(1), "1", 1),
        (at_least(-2), "-2", -2),
        (at_least(0, float), "0.5", 0.5),
        (between(0, 1), "0.95", 0.95),
    ],
)
def test_numbers_in_range(kind, text, value):
    assert kind(text) == value and type(kind(text)) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        (at_least(1), "0", "a whole number of at least 1"),
        (at_least(1), "2.5", "a whole number of at least 1"),
        (at_least(1), "two", "a whole number of at least 1"),
        (at_least(0, float), "-0.1", "a number of at least 0"),
        (at_least(0, float), "nan", "a number of at least 0"),
        (between(0, 1), "1", "a number above 0 and below 1"),
        (between(0, 1), "nan", "a number above 0 and below 1"),
    ],
)
def test_numbers_out_of_range(kind, text, wanted):
    with pytest.raises(argparse.ArgumentTypeError, match=f"expected {wanted} but got {text}"):
        kind(text)
