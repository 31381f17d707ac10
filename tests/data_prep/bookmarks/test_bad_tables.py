"""Bookmark tables that are not as they should be: the exact line, and the rest goes on."""

import os
import time

import pytest

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError

GOOD = "a.nii,3,10,10,20,10,15,8,15,12"
HEADER = "volume,slice,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2,short_y2"
LOCAL = "Expected a path inside the image folder but got"


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        read_bookmarks(path, **options)
    return str(caught.value)


FILES = {
    "empty": (b"", "Expected bookmarks but got an empty file. Export it again."),
    "blank": (b" \r\n\n ", "Expected bookmarks but got an empty file. Export it again."),
    "header only": (
        HEADER.encode(),
        "Expected bookmarks but got only a header. Fill the table.",
    ),
    "binary": (
        b"volume\0slice",
        "Expected UTF-8 text but got binary data or UTF-16. Save it as CSV in UTF-8.",
    ),
    "utf-16": (
        HEADER.encode("utf-16"),
        "Expected UTF-8 text but got binary data or UTF-16. Save it as CSV in UTF-8.",
    ),
}
HEADERS = {
    "semicolons": (
        HEADER.replace(",", ";"),
        "Expected commas between cells but got semicolons. Save the table with commas (and decimal "
        "points).",
    ),
    "tabs": (
        HEADER.replace(",", "\t"),
        "Expected commas between cells but got tabs. Save the table with commas (and decimal "
        "points).",
    ),
    "missing columns": (
        "volume,long_x1,long_y1,long_x2,long_y2,short_x1,short_y1,short_x2",
        "Expected the columns volume, slice, long_x1 … short_y2 but got no short_y2, slice. Add "
        "what is missing.",
    ),
    "no frame": (
        "volume,"
        + ",".join(f"{a}_{c}{n}_mm" for a in ("long", "short") for n in "12" for c in "xyz"),
        "Expected the columns volume, slice, long_x1 … short_y2 but got no frame. Add what is "
        "missing.",
    ),
    "column twice": (
        HEADER + ",slice",
        "Expected each column once but got 'slice' twice. Remove one.",
    ),
}
ROWS = {
    "too few cells": (
        "a.nii,3,10,10,20,10,15,8,15",
        "Expected 10 cells but got 9. Check for missing cells and decimal commas.",
    ),
    "too many cells": (
        GOOD + ",7",
        "Expected 10 cells but got 11. Check for missing cells and decimal commas.",
    ),
    "decimal commas": (
        'a.nii,3,"10,5",10,20,10,15,8,15,12',
        "Expected a number in long_x1 but got '10,5'. Write a decimal point.",
    ),
    "fewer than 4 points": (
        "a.nii,3,10,10,20,10,,,15,12",
        "Expected 4 points (8 coordinates) but got 6 coordinates. Fill in the rest.",
    ),
    "not a number": (
        "a.nii,3,10,10,20,ten,15,8,15,12",
        "Expected a number in long_y2 but got text. Correct the cell.",
    ),
    "NaN": (
        "a.nii,3,10,10,20,nan,15,8,15,12",
        "Expected a number in long_y2 but got 'nan'. Correct the cell.",
    ),
    "underscore": (
        "a.nii,3,10,10,20,1_0,15,8,15,12",
        "Expected a number in long_y2 but got '1_0'. Correct the cell.",
    ),
    "beyond reason": (
        "a.nii,3,10,10,20,1e300,15,8,15,12",
        "Expected at most ±1000000 in long_y2 but got '1e300'. Correct the cell.",
    ),
    "half a slice": (
        "a.nii,3.5,10,10,20,10,15,8,15,12",
        "Expected a whole number in slice but got '3.5'. Correct the cell.",
    ),
    "duplicated": (GOOD, "Expected each bookmark once but got a copy of row 2. Remove it."),
    "absolute path": (
        "/data/DOE_JOHN/a.nii,3,10,10,20,10,15,8,15,12",
        "Expected a path relative to the image folder but got an absolute one that ends in "
        "'a.nii'. Give it relative to the image folder.",
    ),
    "drive": (
        "C:\\data\\a.nii,3,10,10,20,10,15,8,15,12",
        "Expected a path relative to the image folder but got an absolute one that ends in "
        "'a.nii'. Give it relative to the image folder.",
    ),
    "leaves the root": (
        "sub/../../a.nii,3,10,10,20,10,15,8,15,12",
        f"{LOCAL} 'sub/../../a.nii', which leaves it. Remove the '..' parts.",
    ),
    "no volume": (
        ",3,10,10,20,10,15,8,15,12",
        "Expected a path below the image folder but got an empty one. Fill it in.",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_file(tmp_path, case):
    content, message = FILES[case]
    path = tmp_path / "bookmarks.csv"
    path.write_bytes(content)
    assert refused(path) == f"bookmarks.csv: {message}"


@pytest.mark.parametrize("case", HEADERS)
def test_header(make_table, case):
    header, message = HEADERS[case]
    assert refused(make_table(GOOD, header=header)) == f"bookmarks.csv, row 1: {message}"


@pytest.mark.parametrize("case", ROWS)
def test_row_is_reported_and_the_rest_goes_on(make_table, case):
    line, message = ROWS[case]
    after = GOOD.replace("a.nii", "b.nii")
    found = read_bookmarks(make_table(GOOD, line, after))
    assert [(r.volume, r.row) for r in found.records] == [("a.nii", 2), ("b.nii", 4)]
    assert [str(e) for e in found.errors] == [f"bookmarks.csv, row 3: {message}"]


def test_broken_row_among_ten_thousand(make_table):
    lines = [GOOD.replace("a.nii", f"{n}.nii") for n in range(10_000)]
    lines[7654] = "broken"
    start = time.perf_counter()
    found = read_bookmarks(make_table(*lines))
    assert len(found.records) == 9_999
    assert [str(e) for e in found.errors] == [
        "bookmarks.csv, row 7656: Expected 10 cells but got 1. Check for missing cells and decimal "
        "commas."
    ]
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
    assert [str(e) for e in found.errors] == [
        "bookmarks.csv, row 3: Expected UTF-8 text but got bytes of another encoding (Latin-1?). "
        "Save the file as UTF-8."
    ]


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
    assert [str(e) for e in found.errors] == [
        "bookmarks.csv, row 3: Expected cells of a table but got one too long or broken. Correct "
        "the quotes."
    ]


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
    leaves = (
        "Expected a path inside the image folder but got a link that leaves it. Copy the data into "
        "the folder or name the folder that holds it."
    )
    assert [str(e) for e in found.errors] == [
        "bookmarks.csv, row 3: Expected the volume 'gone.nii' in the image folder but found none. "
        "Correct the path or copy the volume there.",
        f"bookmarks.csv, row 4: {leaves}",
        f"bookmarks.csv, row 5: {leaves}",
        "bookmarks.csv, row 6: Expected a readable path but got a link that never ends or a name "
        "that the system refuses. Correct the path.",
    ]


def test_series_column(make_table):
    path = make_table(GOOD + ",1.2.3", GOOD + ",../x", header=HEADER + ",series_uid")
    found = read_bookmarks(path)
    assert [r.volume for r in found.records] == ["a.nii#1.2.3"]
    assert [e.message for e in found.errors] == [
        "Expected 1 to 64 digits and dots in series_uid but got others. Correct the cell."
    ]


def test_options_and_paths(make_table, tmp_path):
    path = make_table(GOOD)
    assert refused(tmp_path / "nothing.csv") == (
        "nothing.csv: Expected bookmarks but found nothing there. Correct the path."
    )
    assert refused(path, format="excel") == (
        "bookmarks.csv: Expected the format sr, masks, slicer, deeplesion, csv or auto but got "
        "'excel'. Correct it."
    )
    said = refused(path, volume="a.nii")
    assert said.startswith("bookmarks.csv: Expected the options frame, one_based")
    assert "got volume" in said
    assert "False or True for one_based but got '2'" in refused(path, one_based=2)
    (tmp_path / "folder").mkdir()
    assert refused(tmp_path / "folder") == (
        "folder: Expected a folder of Slicer markups, DICOM reports or masks but got another. Name "
        "the bookmark file."
    )


def test_no_patient_in_errors(make_table):
    path = make_table(
        GOOD + ",DOE^JOHN,nowhere",
        GOOD.replace("20,", "x,") + ",DOE^JOHN,train",
        header=HEADER + ",patient,split",
    )
    found = read_bookmarks(path)
    assert [str(e) for e in found.errors] == [
        "bookmarks.csv, row 2: Expected train, val or test in split but got another value. Correct "
        "the cell.",
        "bookmarks.csv, row 3: Expected a number in long_x2 but got text. Correct the cell.",
    ]
    assert found.records == []
