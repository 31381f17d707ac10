"""Bookmarks that do not fit their volume, and broken DeepLesion, Slicer, SR and mask files."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from said import says

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
    "outside": ([10, 10, 41, 10, 15, 8, 15, 12], 2, "40 x 30 pixels", "got (41, 10)"),
    "negative": ([10, 10, 20, 10, 15, -8, 15, 12], 2, "40 x 30 pixels", "got (15, -8)"),
    "no such slice": ([10, 10, 20, 10, 15, 8, 15, 12], 5, "slice from 0 to 4 of v.nrrd", "got 5"),
    "negative slice": ([10, 10, 20, 10, 15, 8, 15, 12], -1, "slice from 0 to 4", "got -1"),
    "zero long": ([10, 10, 10, 10, 15, 8, 15, 12], 2, "a long axis", "two equal points"),
    "zero short": ([10, 10, 20, 10, 15, 8, 15, 8], 2, "a short axis", "two equal points"),
    "short longer than long": ([10, 10, 20, 10, 15, 4, 15, 18], 2, "(5.0 mm)", "got 7.0 mm"),
    "not perpendicular": ([10, 10, 20, 10, 13, 8, 17, 12], 2, "perpendicular", "got 45.0 degrees"),
    "not crossing": ([10, 10, 20, 10, 15, 13, 15, 18], 2, "axes that cross", "3.0 pixels apart"),
    "just outside": ([10, 10, 39.5000001, 10, 15, 8, 15, 12], 2, "39.5 and", "(39.5000001, 10)"),
    "slightly longer": ([10, 10, 20, 10, 15, 5, 15, 15.02], 2, "(5.00 mm)", "got 5.01 mm"),
    "slightly oblique": ([10, 10, 20, 10, 15, 8, 16.0722, 12], 2, "15 degrees", "got 74.99"),
    "slightly apart": ([10, 10, 20, 10, 15, 11.01, 15, 15], 2, "1 pixel", "1.01 pixels apart"),
}


@pytest.mark.parametrize("case", PLACES)
def test_place(volume, case):
    numbers, slice_index, *words = PLACES[case]
    points = np.array(numbers, float).reshape(4, 2)
    record = BookmarkRecord("v.nrrd", points, slice_index=slice_index, file="b.csv", row=12)
    with pytest.raises(DataError) as caught:
        place(record, volume)
    assert says(caught.value, f"b.csv, row 12, slice {slice_index}", *words)


def test_pixels_outside_may_be_one_based(volume):
    points = np.array([[10.0, 10], [40, 10], [15, 8], [15, 12]])
    with pytest.raises(
        DataError, match=r"\(0-based pixels\), or read the file with --one-based\.$"
    ):
        place(BookmarkRecord("v.nii", points, slice_index=2), volume)
    points[1, 0] = 41  # so far outside, it is not
    with pytest.raises(DataError, match=r"got \(41, 10\)\. Correct the coordinates.*pixels\)\.$"):
        place(BookmarkRecord("v.nii", points, slice_index=2), volume)


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
    assert says(caught.value, "b.csv, row 2", "inside the volume", "(5, 5, 3) mm in RAS")
    tilted = flat + [[0, 0, 0], [0, 0, 6], [0, 0, 3], [0, 0, 3]]
    with pytest.raises(DataError) as caught:
        place(BookmarkRecord("v.nrrd", tilted, "LPS", file="b.csv", row=2), volume)
    assert says(caught.value, "b.csv, row 2", "one axial slice", "axial slices 1 to 3")


def test_points_of_two_slices_that_round_to_one(volume):
    points = np.array([[5.0, 5, 4.48], [10, 5, 4.48], [7, 4, 4.48], [7, 6, 1.52]])
    with pytest.raises(DataError, match=r"points on axial slices 0\.51 to 1\.49\."):
        place(BookmarkRecord("v.nrrd", points, "LPS"), volume)


def test_slices_that_the_volume_does_not_have(volume):
    points = np.array([[10.0, 10], [20, 10], [15, 8], [15, 12]])
    numbered = BookmarkRecord("v.nrrd", points, slice_number=37, file="DL_info.csv", row=2)
    named = BookmarkRecord("v.nrrd", points, instance_uid="1.2.3", file="r.dcm", row=1)
    for record, where, words in (
        (numbered, "DL_info.csv, row 2", ("a slice of v.nrrd", "number 37")),
        (named, "r.dcm, row 1", ("an image of v.nrrd", "a reference to another one")),
    ):
        with pytest.raises(DataError) as caught:
            place(record, volume)
        assert says(caught.value, where, *words)


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
    words = ("'key.png'", "got 3", "got 'NaN'", "'../1_01'")
    for row, (error, word) in enumerate(zip(found.errors, words, strict=True), start=4):
        assert says(error, f"DL_info.csv, row {row}", word)
    path.write_text("File_name,Measurement_coordinates\nx,y\n")
    (error,) = errors_of(path)
    assert says(error, "DL_info.csv, row 1", "columns", "got no Patient_index")


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

    where = "case.mrk.json, row 1"
    assert says(edited(put("type", "Model")), where, "line markup", "'Model'")
    assert says(edited(put("coordinateSystem", "IJK")), where, "LPS or RAS", "'IJK'")
    assert says(edited(put("coordinateUnits", "voxel")), where, "mm", "'voxel'")
    assert says(edited(lambda m: m["controlPoints"].pop()), where, "2 control points", "got 1")
    assert says(
        edited(lambda m: m["controlPoints"][0].update(position=[1, "2", 3])), where, "3 numbers"
    )
    (error,) = errors_of(make_markups([line]))
    assert says(error, where, "a long and a short axis", "single line")
    path = tmp_path / "broken.mrk.json"
    for content, words in (
        ("{", "broken text"),
        ("[" * 100_000, "broken text"),
        ("{}", "list 'markups'"),
        ('{"markups": []}', "line markups but got none"),
    ):
        path.write_text(content)
        (error,) = errors_of(path)
        assert says(error, "broken.mrk.json", words)


def test_markups_whose_volume_is_not_clear(tmp_path, make_markups):
    lines = [[(0, 0, 0), (10, 0, 0)], [(5, -3, 0), (5, 3, 0)]]
    for folder in ("images/a", "images/b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "twin.nii.gz").write_bytes(b"")
    for name, words in (("lost", "got none"), ("twin", "'a/twin.nii.gz' and 'b/twin.nii.gz'")):
        path = make_markups(lines, f"{name}.mrk.json")
        (error,) = errors_of(path, image_root=tmp_path / "images")
        assert says(error, f"{name}.mrk.json", f"one volume called '{name}'", words)


def test_reports(tmp_path, make_series, make_report):
    folder = make_series("images/scan", 2)
    sources = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
    points = np.array([[10.0, 10], [20, 10], [15, 8], [15, 12]])
    only_long = make_report([(sources[0], points)], sources, "long.dcm", names=("LongAxis",))
    (error,) = errors_of(only_long)
    assert says(error, "long.dcm, row 1", "long axis only")
    bent = make_report([(sources[0], points)], sources, "bent.dcm")
    data = pydicom.dcmread(bent)
    for item in data.iterall():
        if item.keyword == "GraphicData":
            item.value = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    data.save_as(bent)
    (error,) = errors_of(bent)
    assert says(error, "bent.dcm, row 1", "line of 2 points")
    stray = make_report([(sources[0], points)], sources, "stray.dcm")
    (tmp_path / "empty").mkdir()
    uid = sources[0].SeriesInstanceUID
    (error,) = errors_of(stray, image_root=tmp_path / "empty")
    assert says(error, "stray.dcm, row 1", f"the series {uid} in the image folder")
    (error,) = errors_of(get_testdata_file("MR_small.dcm"))
    assert says(error, "MR_small.dcm", "structured report", "another DICOM object")
    (error,) = errors_of(get_testdata_file("test-SR.dcm"))
    assert says(error, "test-SR.dcm", "a long and a short axis", "3 of them outside")


def test_masks(tmp_path):
    labels = np.zeros((3, 20, 20), np.uint8)
    labels[1, 5:12, 5:15] = 1
    labels[1, 18, 18] = 2
    path = tmp_path / "case_mask.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))
    found = read_bookmarks(path)
    assert [(r.volume, r.row) for r in found.records] == [("case", 1)]
    (error,) = found.errors
    assert says(error, "case_mask.nii.gz, row 2", "below 2 x 2 pixels")
    assert found.incomplete_volumes == {"case"} and found.all_volumes_known
    sitk.WriteImage(sitk.GetImageFromArray(labels * 0), str(path))
    (error,) = errors_of(path)
    assert says(error, "case_mask.nii.gz", "one labelled voxel", "empty mask")
