"""Bookmarks that do not fit their volume, and broken DeepLesion, Slicer, SR and mask files."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.volumes.volume import read_volume


@pytest.fixture
def volume(tmp_path, make_image):
    """A volume of 40 x 30 pixels of 0.5 mm and 5 slices of 3 mm."""
    image = make_image(size=(40, 30, 5), spacing=(0.5, 0.5, 3.0), origin=(0.0, 0.0, 0.0))
    sitk.WriteImage(image, str(tmp_path / "v.nrrd"))
    return read_volume(tmp_path / "v.nrrd", root=tmp_path)


PLACES = {
    "outside": (
        [10, 10, 41, 10, 15, 8, 15, 12],
        2,
        "Expected points inside 40 x 30 pixels (-0.5 to 39.5 and 29.5) but got (41, 10). Correct "
        "the coordinates (0-based), or read the file with --one-based.",
    ),
    "negative": (
        [10, 10, 20, 10, 15, -8, 15, 12],
        2,
        "Expected points inside 40 x 30 pixels (-0.5 to 39.5 and 29.5) but got (15, -8). Correct "
        "the coordinates (0-based), or read the file with --one-based.",
    ),
    "no such slice": (
        [10, 10, 20, 10, 15, 8, 15, 12],
        5,
        "Expected a slice from 0 to 4 of v.nrrd but got 5. Correct the slice (0-based).",
    ),
    "negative slice": (
        [10, 10, 20, 10, 15, 8, 15, 12],
        -1,
        "Expected a slice from 0 to 4 of v.nrrd but got -1. Correct the slice (0-based).",
    ),
    "zero long": (
        [10, 10, 10, 10, 15, 8, 15, 12],
        2,
        "Expected a long axis with a length but got two equal points. Draw it again.",
    ),
    "zero short": (
        [10, 10, 20, 10, 15, 8, 15, 8],
        2,
        "Expected a short axis with a length but got two equal points. Draw it again.",
    ),
    "short longer than long": (
        [10, 10, 20, 10, 15, 4, 15, 18],
        2,
        "Expected a short axis no longer than the long one (5.0 mm) but got 7.0 mm. Swap the two "
        "axes.",
    ),
    "not perpendicular": (
        [10, 10, 20, 10, 13, 8, 17, 12],
        2,
        "Expected perpendicular axes (within 15 degrees) but got 45.0 degrees between them. Draw "
        "the short axis again.",
    ),
    "not crossing": (
        [10, 10, 20, 10, 15, 13, 15, 18],
        2,
        "Expected axes that cross (within 1 pixel) but got axes 3.0 pixels apart. Draw them again.",
    ),
    "just outside": (
        [10, 10, 39.5000001, 10, 15, 8, 15, 12],
        2,
        "Expected points inside 40 x 30 pixels (-0.5 to 39.5 and 29.5) but got (39.5000001, 10). "
        "Correct the coordinates (0-based), or read the file with --one-based.",
    ),
    "slightly longer": (
        [10, 10, 20, 10, 15, 5, 15, 15.02],
        2,
        "Expected a short axis no longer than the long one (5.00 mm) but got 5.01 mm. Swap the "
        "two axes.",
    ),
    "slightly oblique": (
        [10, 10, 20, 10, 15, 8, 16.0722, 12],
        2,
        "Expected perpendicular axes (within 15 degrees) but got 74.99 degrees between them. "
        "Draw the short axis again.",
    ),
    "slightly apart": (
        [10, 10, 20, 10, 15, 11.01, 15, 15],
        2,
        "Expected axes that cross (within 1 pixel) but got axes 1.01 pixels apart. Draw them "
        "again.",
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_place(volume, case):
    numbers, slice_index, message = PLACES[case]
    points = np.array(numbers, float).reshape(4, 2)
    record = BookmarkRecord("v.nrrd", points, slice_index=slice_index, file="b.csv", row=12)
    with pytest.raises(DataError) as caught:
        place(record, volume)
    assert str(caught.value) == f"b.csv, row 12, slice {slice_index}: {message}"


def test_fifteen_degrees_are_the_limit(volume):
    for degrees, fits in ((14.9, True), (15.1, False)):
        turn = np.radians(90 - degrees)
        arm = 4 * np.array([np.cos(turn), np.sin(turn)])
        points = np.array([[10, 15], [20, 15], [15, 15] - arm, [15, 15] + arm])
        record = BookmarkRecord("v.nrrd", points, slice_index=0)
        if fits:
            assert place(record, volume).slice_index == 0
        else:
            with pytest.raises(DataError, match=r"got 74.9 degrees"):
                place(record, volume)


def test_millimetres_outside_or_across_slices(volume):
    flat = np.array([[5.0, 5, 3], [10, 5, 3], [7, 4, 3], [7, 6, 3]])
    assert place(BookmarkRecord("v.nrrd", flat, "LPS"), volume).slice_index == 1
    with pytest.raises(DataError) as caught:
        place(BookmarkRecord("v.nrrd", flat, "RAS", file="b.csv", row=2), volume)
    assert str(caught.value) == (
        "b.csv, row 2: Expected points inside the volume but got (5, 5, 3) mm in RAS, which lies "
        "outside. Correct the coordinates or the frame."
    )
    tilted = flat + [[0, 0, 0], [0, 0, 6], [0, 0, 3], [0, 0, 3]]
    with pytest.raises(DataError) as caught:
        place(BookmarkRecord("v.nrrd", tilted, "LPS", file="b.csv", row=2), volume)
    assert str(caught.value) == (
        "b.csv, row 2: Expected four points on one axial slice but got points on axial slices 1 to "
        "3. Draw the bookmark on an axial slice."
    )


def test_points_of_two_slices_that_round_to_one(volume):
    points = np.array([[5.0, 5, 4.48], [10, 5, 4.48], [7, 4, 4.48], [7, 6, 1.52]])
    with pytest.raises(DataError, match=r"points on axial slices 0\.51 to 1\.49\."):
        place(BookmarkRecord("v.nrrd", points, "LPS"), volume)


def test_slices_that_the_volume_does_not_have(volume):
    points = np.array([[10.0, 10], [20, 10], [15, 8], [15, 12]])
    numbered = BookmarkRecord("v.nrrd", points, slice_number=37, file="DL_info.csv", row=2)
    named = BookmarkRecord("v.nrrd", points, instance_uid="1.2.3", file="r.dcm", row=1)
    for record, message in (
        (
            numbered,
            "DL_info.csv, row 2: Expected a slice of v.nrrd but got its number 37, which is not "
            "there. Add the slice or correct the number.",
        ),
        (
            named,
            "r.dcm, row 1: Expected an image of v.nrrd but got a reference to another one. Name "
            "the series that the report was drawn on.",
        ),
    ):
        with pytest.raises(DataError) as caught:
            place(record, volume)
        assert str(caught.value) == message


def errors_of(path, **options):
    try:
        return [str(e) for e in read_bookmarks(path, **options).errors]
    except DataError as error:
        return [str(error)]


def test_deeplesion_rows(tmp_path):
    header = "File_name,Patient_index,Measurement_coordinates,Possibly_noisy,Train_Val_Test"
    good = '"10, 10, 20, 10, 15, 8, 15, 12"'
    lines = [
        f"000001_01_01_037.png,1,{good},0,1",
        f"000001_01_01_038.png,1,{good},1,1",
        f"key.png,1,{good},0,1",
        '000001_01_01_039.png,1,"10, 10, 20",0,1',
        '000001_01_01_039.png,1,"10, 10, 20, 10, 15, 8, 15, NaN",0,1',
        f"../1_01_040.png,1,{good},0,1",
    ]
    path = tmp_path / "DL_info.csv"
    path.write_text("\n".join([header, *lines]))
    found = read_bookmarks(path)
    assert found.notes == ["DL_info.csv: rows marked as possibly noisy are left out (1)."]
    # Rows 4 and 7 name no volume.
    assert found.incomplete_volumes == {"000001_01_01"} and not found.all_volumes_known
    assert [(r.volume, r.slice_number, r.points[0, 0]) for r in found.records] == [
        ("000001_01_01", 37, 9.0)
    ]
    assert [str(e) for e in found.errors] == [
        "DL_info.csv, row 4: Expected a name such as 000089_01_01_037.png but got 'key.png'. "
        "Correct the cell.",
        "DL_info.csv, row 5: Expected 8 coordinates (4 points) but got 3. Correct the cell.",
        "DL_info.csv, row 6: Expected a number in Measurement_coordinates but got 'NaN'. Correct "
        "the cell.",
        "DL_info.csv, row 7: Expected a path inside the image folder but got '../1_01', which "
        "leaves it. Remove the '..' parts.",
    ]
    path.write_text("File_name,Measurement_coordinates\nx,y\n")
    assert errors_of(path) == [
        "DL_info.csv, row 1: Expected the columns of DeepLesion's DL_info.csv once each but got no "
        "Patient_index. Take the file as published."
    ]


def test_slicer_files(tmp_path, make_markups):
    line = [(0, 0, 0), (10, 0, 0)]
    across = [(5, -3, 0), (5, 3, 0)]

    def edited(change):
        path = make_markups([line, across])
        document = json.loads(path.read_text())
        change(document["markups"][0])
        path.write_text(json.dumps(document))
        return errors_of(path)[0]

    def put(key, value):
        return lambda markup: markup.__setitem__(key, value)

    name = "case.mrk.json, row 1: "
    assert edited(put("type", "Fiducial")) == (
        f"{name}Expected a line markup but got 'Fiducial'. Draw lines."
    )
    assert edited(put("coordinateSystem", "IJK")) == (
        f"{name}Expected the coordinateSystem LPS or RAS but got 'IJK'. Save the markups again."
    )
    assert edited(put("coordinateUnits", "voxel")) == (
        f"{name}Expected coordinates in mm but got 'voxel'. Convert them."
    )
    assert edited(lambda m: m["controlPoints"].pop()) == (
        f"{name}Expected 2 control points per line but got 1. Draw the line again."
    )
    assert edited(lambda m: m["controlPoints"][0].update(position=[1, "2", 3])) == (
        f"{name}Expected positions of 3 numbers but got others. Draw the line again."
    )
    assert errors_of(make_markups([line])) == [
        f"{name}Expected one line that crosses this one but got none or several. Draw the other "
        "axis, or give each lesion its own lines."
    ]
    path = tmp_path / "broken.mrk.json"
    for content, message in (
        ("{", "Expected JSON but got broken text. Save the markups again."),
        ("[" * 100_000, "Expected JSON but got broken text. Save the markups again."),
        (
            "{}",
            "Expected the list 'markups' in the file but got none. Save the markups from Slicer.",
        ),
        ('{"markups": []}', "Expected line markups but got none. Draw two lines."),
    ):
        path.write_text(content)
        assert errors_of(path) == [f"broken.mrk.json: {message}"]


def test_markups_whose_volume_is_not_clear(tmp_path, make_markups):
    lines = [[(0, 0, 0), (10, 0, 0)], [(5, -3, 0), (5, 3, 0)]]
    for folder in ("images/a", "images/b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "twin.nii.gz").write_bytes(b"")
    assert errors_of(make_markups(lines, "lost.mrk.json"), image_root=tmp_path / "images") == [
        "lost.mrk.json: Expected one volume called 'lost' in the image folder but got none. Name "
        "the file after its volume, or name the volume."
    ]
    assert errors_of(make_markups(lines, "twin.mrk.json"), image_root=tmp_path / "images") == [
        "twin.mrk.json: Expected one volume called 'twin' in the image folder but got 2, e.g. "
        "'a/twin.nii.gz' and 'b/twin.nii.gz'. Name the file after its volume, or name the volume."
    ]


def test_reports(tmp_path, make_series, make_report):
    folder = make_series("images/scan", 2)
    sources = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
    points = np.array([[10.0, 10], [20, 10], [15, 8], [15, 12]])
    only_long = make_report([(sources[0], points)], sources, "long.dcm", names=("LongAxis",))
    assert errors_of(only_long) == [
        "long.dcm, row 1: Expected one long and one short axis but got 1 and 0. Measure both."
    ]
    bent = make_report([(sources[0], points)], sources, "bent.dcm")
    data = pydicom.dcmread(bent)
    for item in data.iterall():
        if item.keyword == "GraphicData":
            item.value = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    data.save_as(bent)
    assert errors_of(bent) == [
        "bent.dcm, row 1: Expected a line of 2 points but got another shape. Measure it again."
    ]
    stray = make_report([(sources[0], points)], sources, "stray.dcm")
    (tmp_path / "empty").mkdir()
    uid = sources[0].SeriesInstanceUID
    assert errors_of(stray, image_root=tmp_path / "empty") == [
        f"stray.dcm, row 1: Expected the series {uid} in the image folder but found it nowhere. "
        "Copy it there."
    ]
    assert errors_of(get_testdata_file("MR_small.dcm")) == [
        "MR_small.dcm: Expected a structured report but got another DICOM object. Name the report."
    ]
    assert errors_of(get_testdata_file("test-SR.dcm")) == [
        "test-SR.dcm: Expected measurements of a long and a short axis but got none. Export them "
        "as TID 1500."
    ]


def test_masks(tmp_path):
    labels = np.zeros((3, 20, 20), np.uint8)
    labels[1, 5:12, 5:15] = 1
    labels[1, 18, 18] = 2
    path = tmp_path / "case_mask.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))
    found = read_bookmarks(path)
    assert [(r.volume, r.row) for r in found.records] == [("case", 1)]
    assert [str(e) for e in found.errors] == [
        "case_mask.nii.gz, row 2: Expected lesions of at least 2 x 2 pixels but got label 2, which "
        "is smaller. Remove it."
    ]
    sitk.WriteImage(sitk.GetImageFromArray(labels * 0), str(path))
    assert errors_of(path) == [
        "case_mask.nii.gz: Expected at least one labelled voxel but got an empty mask. Remove it "
        "or list the volume as one without lesions."
    ]
