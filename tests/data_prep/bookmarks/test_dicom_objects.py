"""DICOM SEG, RTSTRUCT and GSPS as bookmarks."""

import numpy as np
import pydicom
import pytest
from dicom_makers import dataset, item, segmentation, structure_set
from said import says

from data_prep.bookmarks.formats.dicom_rtstruct import region_mask
from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.dicom.patient_key import key_of_header
from data_prep.volumes.volume import read_volume

CORNERS = np.array([[30.0, 20], [38, 20], [38, 24], [30, 24]])
AXIAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)


@pytest.fixture(params=["axial", "flipped", "oblique"])
def series(request, make_series):
    orientation = {
        "axial": AXIAL,
        "flipped": (-1, 0, 0, 0, -1, 0),
        "oblique": (0.96, 0.28, 0, -0.28, 0.96, 0),
    }[request.param]
    folder = make_series("images/scan", 6, orientation=orientation)
    volume = read_volume(folder, root=folder.parent)
    by_uid = {p.SOPInstanceUID: p for p in map(pydicom.dcmread, sorted(folder.iterdir()))}
    return folder, volume, [by_uid[uid] for uid in volume.slice_uids]


def lesions(shape=(6, 64, 64)):
    """Two lesions on stored slices: 9 x 5 pixels on slices 1 to 2; one pixel wide on slice 4."""
    masks = np.zeros((*shape, 2), np.uint8)
    masks[1:3, 20:25, 30:39, 0] = 1
    masks[4, 50, 10, 1] = 1
    return masks


def stored_points(placed, volume):
    index = np.column_stack([placed.bookmark.points(), [placed.slice_index] * 4])
    return volume.grid.stored_index(index)


def assert_first_lesion(found, volume, folder):
    assert [(r.volume, r.row, r.shape) for r in found.records] == [("scan", 1, "cross")]
    placed = place(found.records[0], volume)
    stored = volume.grid.stored_index(
        np.column_stack([placed.bookmark.points(), [placed.slice_index] * 4])
    )
    assert set(np.round(stored[:, 2]).tolist()) == {1.0}
    low, high = stored[:, :2].min(axis=0), stored[:, :2].max(axis=0)
    assert low.tolist() == pytest.approx([30, 20]) and high.tolist() == pytest.approx([38, 24])


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_segmentation(series, tmp_path, kind):
    folder, volume, sources = series
    path = segmentation(sources, lesions(), tmp_path / "case_seg.dcm", kind)
    found = read_bookmarks(path, image_root=folder.parent)
    assert_first_lesion(found, volume, folder)
    (error,) = found.errors
    assert says(error, "case_seg.dcm, row 2", "label below 2 x 2 pixels")
    every = read_bookmarks(path, image_root=folder.parent, slices="all", one_axis="ignore")
    assert len(every.records) == 2 and len(every.ignored) == 1


def test_segmentation_of_another_grid(series, make_series, tmp_path):
    folder, _, sources = series
    path = segmentation(sources, lesions(), tmp_path / "case_seg.dcm")
    make_series("images/other", 6, spacing=(0.75, 0.95))
    with pytest.raises(DataError) as caught:
        read_bookmarks(path, image_root=folder.parent, volume="other")
    assert says(caught.value, "case_seg.dcm", "other", "but got others")


def test_structure_set(series, tmp_path):
    folder, volume, sources = series
    mm = volume.to_patient_mm(volume.from_stored(CORNERS, 1))
    data = structure_set(sources[0], [("CLOSED_PLANAR", mm), ("POINT", mm[:1])])
    path = tmp_path / "rt.dcm"
    data.save_as(path, enforce_file_format=True)
    found = read_bookmarks(path, image_root=folder.parent)
    assert_first_lesion(found, volume, folder)
    (error,) = found.errors
    assert says(error, "rt.dcm, row 2", "closed planar contours")
    assert found.incomplete_volumes == {"scan"}


def outlines(*boxes):
    """Return closed contours of boxes: pixels x1, y1, x2, y2 and the slice."""
    return [
        ("CLOSED_PLANAR", np.array([[x1, y1, z], [x2, y1, z], [x2, y2, z], [x1, y2, z]]))
        for x1, y1, x2, y2, z in boxes
    ]


@pytest.fixture
def mask_of(make_series):
    """Return what draws the contours of one region, in axial voxels, on a volume of 6 slices."""
    folder = make_series("images/scan", 6)
    volume = read_volume(folder, root=folder.parent)
    source = pydicom.dcmread(next(folder.iterdir()))

    def draw(contours):
        data = structure_set(source, [(kind, volume.to_patient_mm(p)) for kind, p in contours])
        drawn = [region.ContourSequence[0] for region in data.ROIContourSequence]
        return region_mask(drawn, volume, "rt.dcm", 1)

    return draw


@pytest.mark.parametrize(
    ("boxes", "voxels"),
    [
        ([(10, 20, 14, 22, 3)], 15),  # through the centres of the outer pixels
        ([(9.5, 19.5, 14.5, 22.5, 3)], 15),  # along their edges
        ([(9.6, 19.6, 14.4, 22.4, 3)], 15),
        ([(10.2, 20.2, 13.8, 21.8, 3)], 3),
        ([(10, 20, 16, 26, 3), (12, 22, 14, 24, 3)], 49 - 1),  # a hole, through its neighbours
        ([(9.5, 19.5, 16.5, 26.5, 3), (11.5, 21.5, 14.5, 24.5, 3)], 49 - 9),
        ([(10, 20, 14, 22, 3), (14, 20, 18, 22, 3)], 27),  # side by side, a border in common
        ([(10.3, 20.3, 10.4, 20.4, 3)], 1),  # smaller than a pixel
    ],
)
def test_voxels_of_contours(mask_of, boxes, voxels):
    mask = mask_of(outlines(*boxes))
    assert mask.sum() == mask[3].sum() == voxels


def test_contours_on_sagittal_and_coronal_planes(mask_of):
    (kind, points), *_ = outlines((10, 1, 14, 3, 7))
    for order, expected in (([0, 2, 1], np.s_[1:4, 7, 10:15]), ([2, 0, 1], np.s_[1:4, 10:15, 7])):
        mask = mask_of([(kind, points[:, order])])
        assert mask.sum() == 15 and mask[expected].all()


def test_contours_between_slices_and_doubles_are_refused(mask_of):
    with pytest.raises(DataError, match=r"slices of scan \(within 0.1 of a step\) but got one 0.3"):
        mask_of(outlines((10, 20, 14, 22, 3.3)))
    with pytest.raises(DataError, match="each contour once"):
        mask_of(outlines(*[(10, 20, 14, 22, 3)] * 2))


def test_presentation_state(series, tmp_path):
    folder, volume, sources = series
    data = dataset("1.2.840.10008.5.1.4.1.1.11.1", sources[0])
    image = item(
        ReferencedSOPClassUID=sources[2].SOPClassUID,
        ReferencedSOPInstanceUID=sources[2].SOPInstanceUID,
    )
    data.ReferencedSeriesSequence = [
        item(SeriesInstanceUID=sources[0].SeriesInstanceUID, ReferencedImageSequence=[image])
    ]

    def graphic(kind, points, units="PIXEL"):
        return item(
            GraphicAnnotationUnits=units,
            GraphicDimensions=2,
            NumberOfGraphicPoints=len(points),
            GraphicData=[float(v) for v in np.ravel(points)],
            GraphicType=kind,
            GraphicFilled="N",
        )

    points = np.array([[20.0, 20], [40, 20], [30, 14], [30, 26]]) + 0.5
    graphics = [
        graphic("POLYLINE", points[2:]),
        graphic("POLYLINE", points[:2]),
        graphic("POLYLINE", [[5, 50], [15, 50]]),
        graphic("CIRCLE", [[50, 50], [54, 50]]),
        graphic("POLYLINE", [[0.1, 0.1], [0.2, 0.1]], units="DISPLAY"),
    ]
    data.GraphicAnnotationSequence = [
        item(ReferencedImageSequence=[image], GraphicObjectSequence=graphics)
    ]
    path = tmp_path / "states/gsps"
    path.parent.mkdir()
    data.save_as(path, enforce_file_format=True)
    found = read_bookmarks(path.parent, image_root=folder.parent)
    (record,) = found.records
    placed = place(record, volume)
    stored = volume.grid.stored_index(
        np.column_stack([placed.bookmark.points(), [placed.slice_index] * 4])
    )
    assert stored == pytest.approx(np.column_stack([points - 0.5, [2.0] * 4]))
    kinds = [str(error) for error in found.errors]
    assert "'DISPLAY'" in kinds[0] and "single line" in kinds[1] and "circle" in kinds[2]
    assert len(kinds) == 3 and any("1 of 4 graphics cannot be used" in n for n in found.notes)
    ignored = read_bookmarks(path, image_root=folder.parent, one_axis="ignore").ignored
    assert [r.shape for r in ignored] == ["line", "circle"]


def test_an_error_of_a_single_file_names_it(series, tmp_path):
    _, _, sources = series
    path = segmentation(sources, lesions(), tmp_path / "case_seg.dcm")
    with pytest.raises(DataError) as caught:
        read_bookmarks(path)
    assert says(caught.value, "case_seg.dcm", "the image folder")


@pytest.mark.parametrize("turned", [CORNERS[::-1], np.roll(CORNERS, 1, axis=0)])
def test_a_contour_again_from_another_point_is_no_hole(series, tmp_path, turned):
    folder, volume, sources = series
    outlines = [
        ("CLOSED_PLANAR", volume.to_patient_mm(volume.from_stored(points, 1)))
        for points in (CORNERS, turned)
    ]
    data = structure_set(sources[0], outlines[:1])
    more = structure_set(sources[0], outlines[1:]).ROIContourSequence[0].ContourSequence
    data.ROIContourSequence[0].ContourSequence += list(more)
    data.save_as(tmp_path / "s.dcm", enforce_file_format=True)
    found = read_bookmarks(tmp_path / "s.dcm", image_root=folder.parent)
    assert says(found.errors[0], "s.dcm, row 1", "each contour once", "one twice")


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_objects_of_another_scan_get_notes(series, tmp_path, kind):
    folder, volume, sources = series
    path = tmp_path / "s.dcm"
    if kind == "seg":
        segmentation(sources, lesions(), path)
    else:
        outline = volume.to_patient_mm(volume.from_stored(CORNERS, 1))
        data = structure_set(sources[0], [("CLOSED_PLANAR", outline)])
        frame = data.ReferencedFrameOfReferenceSequence[0]
        frame.FrameOfReferenceUID = sources[0].FrameOfReferenceUID
        data.save_as(path, enforce_file_format=True)
    found = read_bookmarks(path, image_root=folder.parent)
    assert not any("positions in mm" in note for note in found.notes)
    data = pydicom.dcmread(path)
    for entry in data.iterall():
        if entry.keyword in (
            "FrameOfReferenceUID",
            "SeriesInstanceUID",
            "ReferencedSOPInstanceUID",
        ):
            entry.value = "1.2.3.4"
    data.PatientID = "another"
    data.save_as(path)
    found = read_bookmarks(path, image_root=folder.parent, volume="scan")
    notes = [note for note in found.notes if "positions in mm were taken" in note]
    assert len(notes) == (2 if kind == "seg" else 1)
    assert "s.dcm: has another frame of reference than scan" in notes[-1]
    assert found.records[0].patient_key not in (None, key_of_header(sources[0]))
