"""DICOM SEG, RTSTRUCT and GSPS as bookmarks."""

import numpy as np
import pydicom
import pytest
from dicom_makers import dataset, item, segmentation, structure_set
from said import says

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
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
