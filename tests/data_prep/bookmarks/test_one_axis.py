"""Measurements without two axes: each is named, ignored or taken as an outline; none is lost."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from said import says

from data_prep.bookmarks.ignore_regions import ignore_regions
from data_prep.bookmarks.locate import place
from data_prep.bookmarks.one_axis import region
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.volumes.volume import read_volume

CROSS = np.array([[20.0, 20], [40, 20], [30, 14], [30, 26]])
# What a viewer's tool draws (GraphicType, points), its name, and how many pixels it covers of
# 0.7 x 0.9 mm; counts by hand from the areas, with the border pixels that belong to them.
DRAWN = {
    "Length": ("POLYLINE", [[30, 20], [40, 20]], "length"),
    "CircleROI": ("CIRCLE", [[30, 20], [35, 20]], "circle"),
    "EllipticalROI": ("ELLIPSE", [[25, 20], [35, 20], [30, 18], [30, 22]], "ellipse"),
    "RectangleROI": ("POLYLINE", [[25, 18], [35, 18], [35, 22], [25, 22], [25, 18]], "rectangle"),
    "PlanarFreehandROI": ("POLYLINE", [[25, 18], [35, 18], [30, 25]], "freehand outline"),
    "Angle": ("POLYLINE", [[25, 18], [35, 18], [30, 25]], "angle"),
    "Probe": ("POINT", [[30, 20]], "point"),
    "ArrowAnnotate": ("POLYLINE", [[30, 20], [40, 30]], "arrow"),
}


@pytest.fixture
def series(make_series):
    folder = make_series("images/scan", 5)
    volume = read_volume(folder, root=folder.parent)
    sources = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
    return folder, volume, {s.SOPInstanceUID: s for s in sources}


def report_of(make_report, series, drawn):
    """Write a report with a cross on slice 1, and one of `DRAWN` on slice 3."""
    _, volume, sources = series
    first, second = (sources[volume.slice_uids[z]] for z in (1, 3))
    path = make_report([(first, CROSS + 0.5), (second, CROSS + 0.5)], list(sources.values()))
    report = pydicom.dcmread(path)
    kind, points, _ = DRAWN[drawn]
    group = groups_of(report)[1]
    numbers = [i for i in group.ContentSequence if i.ValueType == "NUM"]
    group.ContentSequence.remove(numbers[1])
    numbers[0].ConceptNameCodeSequence[0].CodeValue = "410668003"  # length
    numbers[0].MeasuredValueSequence[0].NumericValue = 9.0
    (line,) = numbers[0].ContentSequence
    line.GraphicType = kind
    line.GraphicData = (np.array(points, float) + 0.5).ravel().tolist()
    tracking = next(i for i in group.ContentSequence if i.ValueType == "TEXT")
    tracking.TextValue = f"cornerstoneTools@^4.0.0:{drawn}"
    report.save_as(path)
    return path


def groups_of(report):
    return [
        item
        for item in report.iterall()
        if item.keyword == "ContentSequence"
        for item in item.value
        if item.ValueType == "CONTAINER" and item.ConceptNameCodeSequence[0].CodeValue == "125007"
    ]


@pytest.mark.parametrize("drawn", DRAWN)
def test_a_measurement_of_a_report_is_refused_by_its_name(make_report, series, drawn):
    folder = series[0]
    path = report_of(make_report, series, drawn)
    found = read_bookmarks(path, image_root=folder.parent)
    assert len(found.records) == 1 and found.ignored == []
    assert found.incomplete_volumes == {"scan"}
    name = DRAWN[drawn][2]
    (error,) = found.errors
    assert says(error, "report.dcm, row 2", "a long and a short axis", name)
    (note,) = found.notes
    assert f"refused: {name} 1" in note


@pytest.mark.parametrize("drawn", DRAWN)
def test_a_measurement_becomes_a_region_to_ignore(make_report, series, drawn):
    folder, volume, _ = series
    path = report_of(make_report, series, drawn)
    found = read_bookmarks(path, image_root=folder.parent, one_axis="ignore")
    assert found.errors == [] and len(found.records) == 1
    (record,) = found.ignored
    # How far a lesion reaches around a point is not known.
    assert found.incomplete_volumes == ({"scan"} if record.shape == "points" else set())
    ((z, pixels),) = ignore_regions(record, volume).items()
    assert z == 3 and pixels.shape == (64, 64)
    assert pixels[20, 30]
    for x, y in DRAWN[drawn][1]:
        assert pixels[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].any() or (
            drawn == "CircleROI"
        )
    assert not pixels[50:].any() and not pixels[:, 55:].any()


@pytest.mark.parametrize(
    "drawn, long_mm, short_mm",
    [
        # Pixels of 0.9 mm along x and 0.7 mm along y.
        ("Length", 9.0, 9.0),
        ("CircleROI", 9.0, 9.0),
        ("EllipticalROI", 9.0, 2.8),
        ("RectangleROI", np.hypot(9.0, 2.8), 2.8 * 9.0 * 2 / np.hypot(9.0, 2.8)),
        ("Probe", None, None),
        ("ArrowAnnotate", None, None),
    ],
)
def test_a_measurement_is_taken_as_outline(make_report, series, drawn, long_mm, short_mm):
    folder, volume, _ = series
    path = report_of(make_report, series, drawn)
    found = read_bookmarks(path, image_root=folder.parent, one_axis="circle")
    if long_mm is None:
        (error,) = found.errors
        assert says(error, "report.dcm, row 2", DRAWN[drawn][2]) and len(found.records) == 1
        return
    assert found.errors == [] and found.ignored == []
    placed = place(found.records[1], volume)
    spacing = volume.spacing_mm[:2]
    assert placed.slice_index == 3
    assert placed.bookmark.long_length(spacing) == pytest.approx(long_mm, abs=1e-3)
    if drawn != "RectangleROI":
        assert placed.bookmark.short_length(spacing) == pytest.approx(short_mm, abs=1e-3)


def test_groups_without_coordinates_and_numbers_outside_of_groups(make_report, series):
    folder, _, _ = series
    path = report_of(make_report, series, "Length")
    report = pydicom.dcmread(path)
    group = groups_of(report)[1]
    number = next(i for i in group.ContentSequence if i.ValueType == "NUM")
    del number.ContentSequence
    report.save_as(path)
    found = read_bookmarks(path, image_root=folder.parent, one_axis="ignore")
    (error,) = found.errors
    assert says(error, "report.dcm, row 2", "without coordinates")
    assert found.incomplete_volumes == {"scan"}
    report.ContentSequence.append(number)
    group.ContentSequence.remove(number)
    report.save_as(path)
    errors = read_bookmarks(path, image_root=folder.parent).errors
    assert len(errors) == 2 and says(errors[1], "report.dcm", "1 of them outside")


def test_reports_are_found_by_content_and_others_are_named(make_report, series, tmp_path):
    folder, _, sources = series
    path = report_of(make_report, series, "Length")
    reports = tmp_path / "reports"
    (reports / "study/sr").mkdir(parents=True)
    path.rename(reports / "study/sr/IM0001")
    next(iter(sources.values())).save_as(reports / "study/slice.dcm")
    (reports / "study/odd").write_bytes(b"something else")
    found = read_bookmarks(reports, image_root=folder.parent)
    assert len(found.records) == 1 and len(found.errors) == 2
    assert says(found.errors[0], "reports/study/odd", "DICOM file")
    assert says(found.errors[1], "reports/study/sr/IM0001, row 2", "length only")
    assert any("1 images beside the reports" in note for note in found.notes)
    assert not found.all_volumes_known


def test_table_rows_with_a_long_axis_only(make_table, tmp_path):
    path = make_table("a.nii,2,10,10,20,10,15,8,15,12", "a.nii,3,30,40,36,40,,,,")
    found = read_bookmarks(path)
    (error,) = found.errors
    assert says(error, "bookmarks.csv, row 3, slice 3", "long axis only")
    (record,) = read_bookmarks(path, one_axis="ignore").ignored
    assert (record.shape, record.slice_index) == ("line", 3)
    assert record.points.tolist() == [[30, 40], [36, 40]]
    (error,) = read_bookmarks(make_table("a.nii,3,30,40,36,40,1,,,")).errors
    assert says(error, "bookmarks.csv, row 2", "got 5 coordinates")


def test_deeplesion_rows_with_a_long_axis_only(tmp_path):
    path = tmp_path / "DL_info.csv"
    path.write_text(
        'File_name,Patient_index,Measurement_coordinates\n000001_01_01_037.png,1,"10, 10, 20, 10"\n'
    )
    (error,) = read_bookmarks(path).errors
    assert says(error, "DL_info.csv, row 2", "long axis only")
    (record,) = read_bookmarks(path, one_axis="ignore").ignored
    assert record.points.tolist() == [[9, 9], [19, 9]] and record.slice_number == 37


MARKUPS = {
    "Fiducial": ([[0, 0, 6.0]], {}, "points"),
    "Line": ([[0, 0, 6.0], [4, 0, 6]], {}, "line"),
    "Angle": ([[0, 0, 6.0], [4, 0, 6], [4, 4, 6]], {}, "outline"),
    "Curve": ([[0, 0, 6.0], [4, 0, 6], [4, 4, 6]], {}, "outline"),
    "ClosedCurve": ([[0, 0, 6.0], [4, 0, 6], [4, 4, 6]], {}, "outline"),
    "ROI": ([[0, 0, 6.0]], {"center": [0, 0, 6.0], "size": [8.0, 4, 6]}, "solid"),
    "Plane": ([[0, 0, 6.0]], {"center": [0, 0, 6.0], "size": [8.0, 4]}, "outline"),
}


@pytest.mark.parametrize("kind", MARKUPS)
@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_slicer_markups_of_every_type(make_markups, make_image, tmp_path, kind, system):
    image = make_image(size=(30, 30, 5), spacing=(1, 1, 3), origin=(-15.0, -15, 0))
    sitk.WriteImage(image, str(tmp_path / "case.nrrd"))
    points, more, shape = MARKUPS[kind]
    path = make_markups([points], kind=kind, system=system)
    document = json.loads(path.read_text())
    document["markups"][0] |= more
    path.write_text(json.dumps(document))
    (error,) = read_bookmarks(path).errors
    assert says(error, "case.mrk.json, row 1", "a long and a short axis")
    found = read_bookmarks(path, one_axis="ignore", volume="case.nrrd")
    (record,) = found.ignored
    assert record.shape == shape
    regions = ignore_regions(record, read_volume(tmp_path / "case.nrrd"))
    # The box spans 3 to 9 mm: slices 1 to 3.
    assert list(regions) == ([1, 2, 3] if kind == "ROI" else [2])
    assert regions[2][15, 15]
    if kind == "ROI":
        assert regions[2].sum() == 9 * 5


def test_small_labels_of_masks(tmp_path):
    labels = np.zeros((3, 20, 20), np.uint8)
    labels[1, 5:12, 5:15] = 1
    labels[1:, 18, 17] = 2
    path = tmp_path / "case_mask.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))
    found = read_bookmarks(path, one_axis="ignore")
    assert len(found.records) == 1 and found.incomplete_volumes == set()
    regions = ignore_regions(found.ignored[0], read_volume(path))
    assert list(regions) == [1, 2] and regions[2].sum() == 1
    assert regions[2][18, 17]


def test_region_of_each_shape():
    # A circle of 10 mm radius on pixels of 2 x 1 mm covers an ellipse of radii 5 and 10 pixels.
    disc = region("points", np.array([[20.0, 20]]), (2.0, 1.0), (40, 40))
    assert disc[20].sum() == 11 and disc[:, 20].sum() == 21
    box = region("outline", np.array([[3.0, 4], [6, 4], [6, 8], [3, 8]]), (1, 1), (10, 10))
    assert box.sum() == 4 * 5 and box[4:9, 3:7].all()
    line = region("line", np.array([[5.0, 10], [15, 10]]), (1, 1), (21, 21))
    assert line[10].sum() == 11 and line[:, 10].sum() == 11


def test_a_circle_that_leaves_the_image_is_refused(tmp_path, make_image):
    sitk.WriteImage(make_image(size=(30, 30, 5)), str(tmp_path / "case.nrrd"))
    volume = read_volume(tmp_path / "case.nrrd")
    points = np.array([[1.0, 2], [25, 2]])
    record = BookmarkRecord("case.nrrd", points, slice_index=1, shape="line", drawn="length")
    with pytest.raises(DataError, match="leaves it"):
        place(record, volume)


def test_rules_are_known(make_table):
    path = make_table("a.nii,2,10,10,20,10,15,8,15,12")
    with pytest.raises(DataError, match="refuse, ignore, circle"):
        read_bookmarks(path, one_axis="guess")


def test_files_beside_markups_are_named(make_markups, tmp_path):
    marks = tmp_path / "marks"
    (marks / "inner").mkdir(parents=True)
    lines = [[(0, 0, 0), (10, 0, 0)], [(5, -3, 0), (5, 3, 0)]]
    make_markups(lines, folder=marks / "inner")
    (marks / "old.fcsv").write_text("# Markups fiducial file version = 4.11\n")
    (marks / "readme.txt").write_text("lesions of 2020\n")
    found = read_bookmarks(marks)
    assert [record.file for record in found.records] == ["marks/inner/case.mrk.json"]
    (error,) = found.errors
    assert says(error, "marks/old.fcsv", ".mrk.json", "another ending")
    assert not found.all_volumes_known
    assert found.notes == ["marks: 1 files that are no markups are not read."]
