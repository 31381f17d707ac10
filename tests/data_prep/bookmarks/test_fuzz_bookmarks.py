"""Broken bookmark files: nothing but DataError, in one line, ever comes out.

Each runs a few examples; `make fuzz` runs 10 000 of each.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from data_prep.bookmarks.formats.csv_table import MM_COLUMNS, PIXEL_COLUMNS
from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.paths import resolve_under
from data_prep.volumes.volume import read_volume

pytestmark = pytest.mark.fuzz
fuzz = settings.get_profile("readers")


CELLS = st.one_of(
    st.sampled_from(
        ["", "1", "20.5", "-3", "nan", "inf", "1e999", "1_0", "٣", "0x10", "a.nii", "../a", "/a"]
        + ["LPS", "ras", "train", ";", '"', "12,5", "\ud800x".encode("utf-8", "replace").decode()]
    ),
    st.text(max_size=6),
    st.floats().map(str),
    st.integers().map(str),
)
COLUMNS = ["volume", "slice", *PIXEL_COLUMNS, *MM_COLUMNS, "frame", "site", "patient", "split"]


@st.composite
def tables(draw, columns, always):
    """Draw a table that is nearly right: most of its columns are there."""
    header = list(always)
    if draw(st.integers(0, 3)) == 0:
        header = draw(st.permutations(columns))[: draw(st.integers(0, len(columns)))]
    rows = draw(
        st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header) + 1), max_size=4)
    )
    comma = draw(st.sampled_from([",", ",", ",", ";", "\t"]))
    text = "\n".join(comma.join(row) for row in [header, *rows])
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode(
        draw(st.sampled_from(["utf-8", "utf-8", "latin-1", "utf-16"])), "replace"
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for all examples of this module."""
    return tmp_path_factory.mktemp("fuzz")


@fuzz
@given(
    st.one_of(
        tables(COLUMNS, ["volume", "slice", *PIXEL_COLUMNS]),
        tables(COLUMNS, ["volume", "frame", *MM_COLUMNS]),
        st.binary(max_size=200),
    ),
    st.booleans(),
)
def test_own_table(folder, survives, data, one_based):
    path = folder / "table.csv"
    path.write_bytes(data)
    survives(read_bookmarks, path, format="csv", one_based=one_based, image_root=folder)


@fuzz
@given(
    st.data(),
    st.none()
    | tables(
        ["File_name", "Patient_index", "Measurement_coordinates", "Spacing_mm_px_"],
        ["File_name", "Patient_index", "Measurement_coordinates", "Train_Val_Test"],
    ),
)
def test_deeplesion_table(folder, survives, damage, data, table):
    path = folder / "DL_info.csv"
    path.write_bytes(damage(data, DL_INFO, 220) if table is None else table)
    survives(read_bookmarks, path, format="deeplesion")


DL_INFO = (
    b"File_name,Patient_index,Measurement_coordinates,Possibly_noisy,Spacing_mm_px_,Train_Val_Test,"
    b'Coarse_lesion_type\n000001_01_01_037.png,1,"10, 10, 20, 10, 15, 8, 15, 12",0,"0.8, 0.8, 5",'
    b"1,-1\n"
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("LPS")
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["type", "coordinateSystem", "controlPoints", "position", "x"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)
POSITIONS = st.one_of(st.lists(st.one_of(st.floats(-50, 50), st.integers()), max_size=4), JSON)
MARKUPS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(["Line", "Line", "Line", "Plane", 3]),
                "coordinateSystem": st.sampled_from(["LPS", "RAS", 0, None, []]),
                "controlPoints": st.lists(
                    st.fixed_dictionaries({"position": POSITIONS}), min_size=1, max_size=3
                ),
            }
        ),
        JSON,
    ),
    max_size=5,
)


@fuzz
@given(
    st.data(),
    st.one_of(
        MARKUPS.map(lambda m: json.dumps({"markups": m}).encode()),
        JSON.map(lambda j: json.dumps(j).encode()),
    ),
    st.booleans(),
)
def test_slicer_markups(folder, survives, damage, data, markups, damaged):
    path = folder / "case.mrk.json"
    path.write_bytes(damage(data, markups, 200) if damaged else markups)
    survives(read_bookmarks, path)


@pytest.fixture(scope="module")
def volume(folder):
    """A small volume to place bookmarks in."""
    image = sitk.GetImageFromArray(np.arange(6 * 20 * 30, dtype=np.int16).reshape(6, 20, 30))
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    path = folder / "place" / "v.nii"
    path.parent.mkdir()
    sitk.WriteImage(image, str(path))
    return read_volume(path)


@fuzz
@given(
    st.lists(st.floats(-5, 40) | st.floats(), min_size=12, max_size=12),
    st.sampled_from(["pixel", "LPS", "RAS"]),
    st.none() | st.integers(-2, 8) | st.integers(),
    st.none() | st.integers(0, 3),
    st.none() | st.just("1.2.3"),
)
def test_place(volume, survives, numbers, frame, index, number, uid):
    points = np.array(numbers[: 8 if frame == "pixel" else 12]).reshape(4, -1)
    record = BookmarkRecord(
        "v.nii", points, frame, index, slice_number=number, instance_uid=uid, frame_number=number
    )
    survives(lambda: [place(record, volume)])


@fuzz
@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["..", ".", "a", "", "~", "C:", "#"])).map("/".join)
)
def test_paths_stay_inside(folder, text):
    try:
        path = resolve_under(folder, text)
    except DataError as error:
        assert str(error).isprintable()
    else:
        assert path.resolve().is_relative_to(folder.resolve())


@pytest.fixture
def sound_report(make_report):
    """Bytes of a report on one lesion."""
    points = np.array([[10.0, 10], [20, 10], [15, 8], [15, 12]])
    source = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    return make_report([(source, points)], [source]).read_bytes()


@fuzz
@given(data=st.data())
def test_report_bytes(folder, sound_report, survives, damage, data):
    path = folder / "report.dcm"
    path.write_bytes(damage(data, sound_report, len(sound_report)))
    survives(read_bookmarks, path, format="sr")


REPORT_KEYWORDS = [
    "ValueType",
    "ConceptNameCodeSequence",
    "ContentSequence",
    "CodeValue",
    "CodingSchemeDesignator",
    "GraphicData",
    "GraphicType",
    "ReferencedSOPSequence",
    "ReferencedSOPInstanceUID",
    "ReferencedFrameNumber",
    "RelationshipType",
    "SeriesInstanceUID",
    "PatientID",
]
REPORT_VALUES = st.one_of(
    st.none(),
    st.lists(st.floats(-9, 99, width=32), max_size=7),
    st.sampled_from(["", "SCOORD3D", "NUM", "POINT", "1.2.3", "103339001", "SRT", [], [2, 3]]),
)


@fuzz
@given(
    st.lists(
        st.tuples(st.sampled_from(REPORT_KEYWORDS), st.integers(0, 12), st.none() | REPORT_VALUES),
        min_size=1,
        max_size=3,
    )
)
def test_report_values(folder, sound_report, survives, edits):
    path = folder / "values.dcm"
    path.write_bytes(sound_report)
    report = pydicom.dcmread(path)
    found = datasets(report)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, at, value in edits:
            holders = [d for d in found if keyword in d]
            holder = holders[at % len(holders)] if holders else report
            try:
                if value is not None:
                    setattr(holder, keyword, value)
                elif holders:
                    delattr(holder, keyword)
            except Exception:
                continue  # pydicom does not take every value
        try:
            report.save_as(path)
        except Exception:
            return  # nor write all that it takes
    survives(read_bookmarks, path, format="sr")


def datasets(dataset):
    """Return a dataset and all those nested in it."""
    found = [dataset]
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                found += datasets(item)
    return found
