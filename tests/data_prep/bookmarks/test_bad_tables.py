"""Bookmark tables that are not as they should be: the exact line, and the rest goes on."""

import os
import time

import pytest
from said import says

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError

GOOD = "a.nii,3,10,10,20,10,15,8,15,12"
HEADER = "volume,slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        read_bookmarks(path, **options)
    return str(caught.value)


FILES = {
    "empty": (b"", "empty file"),
    "blank": (b" \r\n\n ", "empty file"),
    "header only": (HEADER.encode(), "only a header"),
    "binary": (b"volume\0slice", "UTF-8", "binary data"),
    "utf-16": (HEADER.encode("utf-16"), "UTF-8", "UTF-16"),
}
MM = ",".join(f"{a}_{c}{n}_mm" for a in ("long", "short") for n in "12" for c in "xyz")
HEADERS = {
    "semicolons": (HEADER.replace(",", ";"), "got semicolons"),
    "tabs": (HEADER.replace(",", "\t"), "got tabs"),
    "missing columns": (
        "volume,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2",
        "got no short_y2, slice",
    ),
    "no frame": (f"volume,{MM}", "got no frame"),
    "lines above": (f"sep=,\n{HEADER}", "names of the columns", "first row"),
    "column twice": (HEADER + ",slice", "'slice' twice"),
}
ROWS = {
    "too few cells": ("a.nii,3,10,10,20,10,15,8,15", "10 cells", "got 9"),
    "too many cells": (GOOD + ",7", "10 cells", "got 11"),
    "decimal commas": ('a.nii,3,"10,5",10,20,10,15,8,15,12', "number in long_x1", "got '10,5'"),
    "fewer than 4 points": ("a.nii,3,10,10,20,10,,,15,12", "8 coordinates", "got 6"),
    "not a number": ("a.nii,3,10,10,20,ten,15,8,15,12", "number in long_y2", "got text"),
    "NaN": ("a.nii,3,10,10,20,nan,15,8,15,12", "number in long_y2", "got 'nan'"),
    "underscore": ("a.nii,3,10,10,20,1_0,15,8,15,12", "number in long_y2", "got '1_0'"),
    "beyond reason": ("a.nii,3,10,10,20,1e300,15,8,15,12", "long_y2", "got '1e300'"),
    "half a slice": ("a.nii,3.5,10,10,20,10,15,8,15,12", "whole number in slice", "got '3.5'"),
    "duplicate": (GOOD, "once", "duplicate of row 2"),
    "absolute path": (
        "/data/DOE_JOHN/a.nii,3,10,10,20,10,15,8,15,12",
        "relative to the image folder",
        "absolute one that ends in 'a.nii'",
    ),
    "drive": ("C:\\data\\a.nii,3,10,10,20,10,15,8,15,12", "relative", "ends in 'a.nii'"),
    "leaves the root": (
        "sub/../../a.nii,3,10,10,20,10,15,8,15,12",
        "inside the image folder",
        "'sub/../../a.nii'",
    ),
    "no volume": (",3,10,10,20,10,15,8,15,12", "got an empty one"),
}


@pytest.mark.parametrize("case", FILES)
def test_file(tmp_path, case):
    content, *words = FILES[case]
    path = tmp_path / "bookmarks.csv"
    path.write_bytes(content)
    assert says(refused(path), "bookmarks.csv", *words)


@pytest.mark.parametrize("case", HEADERS)
def test_header(make_table, case):
    header, *words = HEADERS[case]
    assert says(refused(make_table(GOOD, header=header)), "bookmarks.csv, row 1", *words)


@pytest.mark.parametrize("case", ROWS)
def test_row_is_reported_and_the_rest_goes_on(make_table, case):
    line, *words = ROWS[case]
    after = GOOD.replace("a.nii", "b.nii")
    found = read_bookmarks(make_table(GOOD, line, after))
    assert [(r.volume, r.row) for r in found.records] == [("a.nii", 2), ("b.nii", 4)]
    (error,) = found.errors
    assert says(error, "bookmarks.csv, row 3", *words) and "DOE" not in str(error)


def test_broken_row_among_ten_thousand(make_table):
    lines = [GOOD.replace("a.nii", f"{n}.nii") for n in range(10_000)]
    lines[7654] = "broken"
    start = time.perf_counter()
    found = read_bookmarks(make_table(*lines))
    assert len(found.records) == 9_999
    (error,) = found.errors
    assert says(error, "bookmarks.csv, row 7656", "10 cells", "got 1")
    assert time.perf_counter() - start < 20


def test_byte_order_mark_and_line_ends_do_not_matter(tmp_path):
    path = tmp_path / "bookmarks.csv"
    for ending in ("\n", "\r\n", "\r"):
        path.write_bytes(b"\xef\xbb\xbf" + ending.join([HEADER, GOOD, ""]).encode())
        found = read_bookmarks(path)
        assert ([r.volume for r in found.records], found.errors) == (["a.nii"], [])


def test_latin_1(make_table):
    header = HEADER + ",site"
    lines = [GOOD + ",node", GOOD.replace("a.nii", "b.nii") + ",médiastin"]
    path = make_table(*lines, header=header, encoding="latin-1")
    found = read_bookmarks(path)
    assert [r.volume for r in found.records] == ["a.nii"]
    (error,) = found.errors
    assert says(error, "bookmarks.csv, row 3", "UTF-8", "another encoding")


def test_extra_columns_are_named_once_and_ignored(make_table):
    path = make_table(GOOD + ",x,y", header=HEADER + ",reader,note")
    found = read_bookmarks(path)
    assert found.notes == [
        "bookmarks.csv, row 1: 2 unknown columns are not used: 'reader', 'note'."
    ]
    assert (len(found.records), found.errors) == (1, [])


def test_quotes_that_never_end(make_table):
    found = read_bookmarks(make_table(GOOD, '"b.nii,3', GOOD))
    assert len(found.records) == 1
    (error,) = found.errors
    assert says(error, "bookmarks.csv, row 3", "too long or broken")


def test_volume_not_found_and_links_that_leave_the_root(make_table, tmp_path):
    root = tmp_path / "images"
    outside = tmp_path / "outside"
    (root / "sub").mkdir(parents=True)
    outside.mkdir()
    (root / "a.nii").write_bytes(b"x")
    os.symlink(outside, root / "link")
    os.symlink(root / "loop", root / "loop")
    names = ("a.nii", "gone.nii", "link/a.nii", "link#1.2.3", "loop", "sub/../a.nii")
    path = make_table(
        *(GOOD.replace("a.nii", name).replace(",3,", f",{n},") for n, name in enumerate(names))
    )
    found = read_bookmarks(path, image_root=root)
    assert [r.volume for r in found.records] == ["a.nii", "a.nii"]
    assert found.incomplete_volumes == set() and not found.all_volumes_known
    words = ("'gone.nii'", "link that leaves it", "link that leaves it", "never ends")
    for row, (error, word) in enumerate(zip(found.errors, words, strict=True), start=3):
        assert says(error, f"bookmarks.csv, row {row}", word)


def test_series_column(make_table):
    path = make_table(GOOD + ",1.2.3", GOOD + ",../x", header=HEADER + ",series_uid")
    found = read_bookmarks(path)
    assert [r.volume for r in found.records] == ["a.nii#1.2.3"]
    (error,) = found.errors
    assert says(error, "bookmarks.csv, row 3", "digits and dots in series_uid")
    assert found.incomplete_volumes == {"a.nii"}


def test_options_and_paths(make_table, tmp_path):
    path = make_table(GOOD)
    assert says(refused(tmp_path / "nothing.csv"), "nothing.csv", "found nothing there")
    said = refused(path, format="excel")
    assert says(said, "bookmarks.csv", "sr, masks, slicer, deeplesion, csv or auto", "'excel'")
    assert says(
        refused(path, volume="a.nii"), "bookmarks.csv", "frame, names, one_based", "got volume"
    )
    assert "False or True for one_based but got '2'" in refused(path, one_based=2)
    (tmp_path / "folder").mkdir()
    assert says(refused(tmp_path / "folder"), "folder", "Slicer markups, DICOM reports or masks")


def test_no_patient_in_errors(make_table):
    path = make_table(
        GOOD + ",DOE^JOHN,nowhere",
        GOOD.replace("20,", "x,") + ",DOE^JOHN,train",
        header=HEADER + ",patient,split",
    )
    found = read_bookmarks(path)
    split, cell = found.errors
    assert says(split, "bookmarks.csv, row 2", "train, val or test in split")
    assert says(cell, "bookmarks.csv, row 3", "number in long_x2")
    assert "DOE" not in f"{split}{cell}" and "nowhere" not in str(split)
    assert found.records == []
