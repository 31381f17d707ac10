"""Reports that replace others, copies, and what else a report draws: no lesion counts twice."""

import shutil

import numpy as np
import pydicom
import pytest
from dicom_makers import dataset, item, presentation_state
from pydicom.uid import generate_uid
from said import says

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.volume import read_volume

CROSS = np.array([[10.0, 20], [22, 20], [16, 16], [16, 24]])


@pytest.fixture
def scan(make_series):
    """A series of five slices: its folder, and its headers in the order of the slices."""
    folder = make_series("images/scan", 5, edit=lambda data, k: setattr(data, "PatientID", "P1"))
    headers = map(pydicom.dcmread, folder.iterdir())
    return folder, sorted(headers, key=lambda data: data.ImagePositionPatient[2])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "reports").mkdir()
    return tmp_path / "reports"


@pytest.fixture
def add(make_report, folder, scan):
    """Return a writer of reports into the folder; `edit` changes them."""

    def write(name, lesions, edit=None, sources=None):
        path = make_report(lesions, sources or scan[1])
        report = pydicom.dcmread(path)
        if edit is not None:
            edit(report)
        report.save_as(folder / name)
        return report

    return write


def replaces(*others):
    """Return an edit by which a report says that it replaces others."""

    def edit(report):
        report.PredecessorDocumentsSequence = [
            item(
                StudyInstanceUID=other.StudyInstanceUID,
                ReferencedSeriesSequence=[
                    item(
                        SeriesInstanceUID=other.SeriesInstanceUID,
                        ReferencedSOPSequence=[item(ReferencedSOPInstanceUID=other.SOPInstanceUID)],
                    )
                ],
            )
            for other in others
        ]

    return edit


def drawn_in(node, *around):
    """Yield the items with coordinates below a node, each with the two items around it."""
    for entry in node.get("ContentSequence", ()):
        if "GraphicData" in entry:
            yield entry, node, *around[:1]
        yield from drawn_in(entry, node, *around)


def test_a_replaced_report_is_named_and_not_read(add, scan, folder):
    images = scan[1]
    first = add("1.dcm", [(images[1], CROSS)])
    second = add("2.dcm", [(images[1], CROSS + 1)], replaces(first))
    add("3.dcm", [(images[1], CROSS + 2), (images[3], CROSS)], replaces(second))
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert [(r.file, r.points[0].tolist()) for r in found.records] == [
        ("reports/3.dcm", [11.5, 21.5]),
        ("reports/3.dcm", [9.5, 19.5]),
    ]
    assert found.notes == [
        "reports/1.dcm: not used, since reports/2.dcm replaces it.",
        "reports/2.dcm: not used, since reports/3.dcm replaces it.",
    ]
    assert not found.errors and not found.incomplete_volumes


def test_lesions_that_the_newer_report_lacks_are_not_background(add, scan, folder):
    images = scan[1]
    first = add("1.dcm", [(images[1], CROSS), (images[3], CROSS)])
    add("2.dcm", [(images[1], CROSS)], replaces(first))
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert len(found.records) == 1 and found.incomplete_volumes == {"scan"}


def test_the_report_of_an_earlier_series_is_read(add, scan, folder, make_series):
    earlier = make_series("images/earlier", 5)
    images = [pydicom.dcmread(path) for path in sorted(earlier.iterdir())]
    old = add("1.dcm", [(images[0], CROSS)], sources=images)
    add("2.dcm", [(scan[1][1], CROSS)], replaces(old))
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert sorted(r.volume for r in found.records) == ["earlier", "scan"] and not found.notes


def test_reports_that_replace_each_other_are_refused(add, scan, folder):
    images = scan[1]
    first = add("1.dcm", [(images[1], CROSS)])
    second = add("2.dcm", [(images[1], CROSS)], replaces(first))
    replaces(second)(first)
    first.save_as(folder / "1.dcm")
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert not found.records
    where = ["reports/1.dcm", "reports/2.dcm"]
    assert all(says(e, w, "replaces") for e, w in zip(found.errors, where, strict=True))


def test_a_copy_is_read_once(add, scan, folder):
    add("a.dcm", [(scan[1][1], CROSS)])
    (folder / "again").mkdir()
    shutil.copy(folder / "a.dcm", folder / "again/a.dcm")
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert [r.file for r in found.records] == ["reports/a.dcm"] and not found.errors
    assert found.notes == ["reports/again/a.dcm: a copy of reports/a.dcm, which is read."]


def test_other_contents_of_one_uid_are_refused(add, scan, folder):
    first = add("a.dcm", [(scan[1][1], CROSS)])
    uid = first.SOPInstanceUID
    add("b.dcm", [(scan[1][3], CROSS)], lambda report: setattr(report, "SOPInstanceUID", uid))
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert len(found.records) == 1 and not found.all_volumes_known
    assert says(found.errors[0], "reports/b.dcm", "one object of a UID", "reports/a.dcm")


def test_a_copy_of_another_kind_is_read_once(scan, folder):
    state = presentation_state(scan[1], [(1, CROSS[:2]), (1, CROSS[2:])])
    for name in ("a.dcm", "b.dcm"):
        state.save_as(folder / name, enforce_file_format=True)
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert len(found.records) == 1 and not found.errors
    assert found.notes == ["reports/b.dcm: a copy of reports/a.dcm, which is read."]


def test_more_drawings_of_a_group(add, scan, folder):
    """One on another slice may be more of the lesion: it is named, and its slice not background."""

    def more(image):
        def edit(report):
            _, measure, group = next(drawn_in(report))
            extra = pydicom.Dataset.from_json(measure.to_json())
            extra.ConceptNameCodeSequence[0].CodeValue = "410668003"  # length
            source = extra.ContentSequence[0].ContentSequence[0].ReferencedSOPSequence[0]
            source.ReferencedSOPInstanceUID = image.SOPInstanceUID
            group.ContentSequence.append(extra)

        return edit

    images = scan[1]
    add("apart.dcm", [(images[1], CROSS)], more(images[4]))
    found = read_bookmarks(folder / "apart.dcm", image_root=scan[0].parent)
    assert len(found.records) == 1 and found.incomplete_volumes == {"scan"}
    assert found.notes == [
        "apart.dcm, row 1: 1 drawings apart from the two axes of the same group are not used."
    ]
    add("same.dcm", [(images[1], CROSS)], more(images[1]))
    found = read_bookmarks(folder / "same.dcm", image_root=scan[0].parent)
    assert len(found.records) == 1 and not found.notes and not found.incomplete_volumes


def test_a_line_on_two_images_is_refused(add, scan, folder):
    def edit(report):
        for entry, *_ in drawn_in(report):
            other = item(ReferencedSOPInstanceUID=scan[1][3].SOPInstanceUID)
            entry.ContentSequence[0].ReferencedSOPSequence.append(other)

    add("a.dcm", [(scan[1][1], CROSS)], edit)
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert not found.records and says(found.errors[0], "reports/a.dcm, row 1", "one image", "2")


def test_a_graphic_on_two_frames_is_read_on_both(scan, folder):
    state = presentation_state(scan[1], [(1, CROSS[:2]), (1, CROSS[2:])])
    for annotation in state.GraphicAnnotationSequence:
        annotation.ReferencedImageSequence[0].ReferencedFrameNumber = [2, 5]
    state.save_as(folder / "a.dcm", enforce_file_format=True)
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert [r.frame_number for r in found.records] == [2, 5]


def test_points_of_another_frame_of_reference(add, scan, folder):
    """The mm of a moved patient are other mm, whatever volume is named."""
    volume = read_volume(scan[0], root=scan[0].parent)
    points = volume.to_patient_mm(np.column_stack([CROSS, np.full(4, 2.0)]))
    add("same.dcm", [(scan[1][2], points)])
    found = read_bookmarks(folder / "same.dcm", image_root=scan[0].parent)
    assert place(found.records[0], volume).slice_index == 2

    def elsewhere(report):
        for entry, *_ in drawn_in(report):
            entry.ReferencedFrameOfReferenceUID = generate_uid()

    def alike(report):
        other = generate_uid()
        for entry, *_ in drawn_in(report):
            entry.ReferencedFrameOfReferenceUID = other

    add("other.dcm", [(scan[1][2], points)], alike)
    found = read_bookmarks(folder / "other.dcm", image_root=scan[0].parent, volume="scan")
    with pytest.raises(DataError) as error:
        place(found.records[0], volume)
    assert says(error.value, "other.dcm, row 1", "frame of reference of scan")
    add("two.dcm", [(scan[1][2], points)], elsewhere)
    found = read_bookmarks(folder / "two.dcm", image_root=scan[0].parent)
    assert says(found.errors[0], "two.dcm, row 1", "both axes on one image")


def test_key_objects_and_doses_are_named(add, scan, folder):
    add("a.dcm", [(scan[1][1], CROSS)])
    for name, kind in (("keys.dcm", 59), ("dose.dcm", 67)):
        other = dataset(f"1.2.840.10008.5.1.4.1.1.88.{kind}", scan[1][0])
        other.save_as(folder / name, enforce_file_format=True)
    found = read_bookmarks(folder, image_root=scan[0].parent)
    assert len(found.records) == 1
    assert found.notes == ["reports: 1 reports of doses and the like are not read."]
    assert [says(e, "reports/keys.dcm", "key object selection") for e in found.errors] == [True]
