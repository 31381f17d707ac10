"""One lesion in every bookmark format gives one bookmark."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.one_based import fits_better_shifted, one_based_notes
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.record import BookmarkRecord, ReadResult
from data_prep.errors import DataError
from data_prep.volumes.volume import read_volume

# A lesion on stored slice 2 of a series of 64 x 64 pixels.
POINTS = np.array([[20.25, 20.0], [40.5, 30.0], [25.75, 31.0], [32.25, 17.5]])
SLICE = 2


@pytest.fixture
def series(make_series):
    """A series below an image folder, its volume, and its lesion in mm (LPS)."""
    folder = make_series("images/case1", 5, orientation=(0.96, 0.28, 0, -0.28, 0.96, 0))
    volume = read_volume(folder, root=folder.parent)
    return folder, volume, volume.to_patient_mm(volume.from_stored(POINTS, SLICE))


def row(values, *front):
    return ",".join([*map(str, front), *(f"{v:.6f}" for v in np.ravel(values))])


def assert_is_the_lesion(found, volume):
    assert found.errors == [] and found.incomplete_volumes == set()
    assert len(found.records) == 1
    placed = place(found.records[0], volume)
    assert placed.slice_index == SLICE
    assert placed.bookmark.points() == pytest.approx(POINTS, abs=1e-3)
    assert placed.record is found.records[0]


def test_pixels(series, make_table):
    folder, volume, _ = series
    path = make_table(row(POINTS, "case1", SLICE))
    found = read_bookmarks(path, image_root=folder.parent)
    assert_is_the_lesion(found, volume)
    (record,) = found.records
    assert (record.volume, record.file, record.row) == ("case1", "bookmarks.csv", 2)


def test_one_based_pixels(series, make_table):
    path = make_table(row(POINTS + 1, "case1", SLICE + 1))
    assert_is_the_lesion(read_bookmarks(path, one_based=True), series[1])


MM_HEADER = ",".join(f"{a}_{c}{n}_mm" for a in ("long", "short") for n in (1, 2) for c in "xyz")


@pytest.mark.parametrize("frame", ["LPS", "RAS"])
def test_millimetres(series, make_table, frame):
    mm = series[2] * ([-1, -1, 1] if frame == "RAS" else 1)
    stated = make_table(row(mm, "case1", frame), header=f"volume,frame,{MM_HEADER}")
    assert_is_the_lesion(read_bookmarks(stated), series[1])
    option = make_table(row(mm, "case1"), header=f"volume,{MM_HEADER}", name="option.csv")
    assert_is_the_lesion(read_bookmarks(option, frame=frame), series[1])


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_slicer_lines_in_either_order(series, make_markups, system):
    folder, volume, mm = series
    mm = mm * ([-1, -1, 1] if system == "RAS" else 1)
    path = make_markups([mm[2:], mm[:2]], name="case1_node.mrk.json", system=system)
    found = read_bookmarks(path, image_root=folder.parent)
    assert_is_the_lesion(found, volume)
    assert found.records[0].volume == "case1"
    assert found.records[0].row == 2
    (named,) = read_bookmarks(path, volume="other/case.nii.gz").records
    assert named.volume == "other/case.nii.gz"


def test_slicer_folder_of_single_lines(series, make_markups, tmp_path):
    folder, volume, mm = series
    marks = tmp_path / "marks"
    marks.mkdir()
    lifted = mm + [0, 0, 5.0]
    for name, line in (("a", mm[:2]), ("b", lifted[2:]), ("c", mm[2:]), ("d", lifted[:2])):
        make_markups([line], name=f"case1_{name}.mrk.json", folder=marks)
    found = read_bookmarks(marks, image_root=folder.parent)
    assert [place(r, volume).slice_index for r in found.records] == [SLICE, SLICE + 2]
    assert_is_the_lesion(ReadResult(found.records[:1], found.errors), volume)


def test_report_in_pixels(series, make_report):
    folder, volume, _ = series
    sources = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
    source = next(s for s in sources if s.SOPInstanceUID == volume.slice_uids[SLICE])
    # A report counts from the corner of the first pixel.
    path = make_report([(source, POINTS + 0.5)], sources)
    found = read_bookmarks(path, image_root=folder.parent)
    assert_is_the_lesion(found, volume)
    assert found.records[0].volume == "case1"
    assert found.records[0].patient is None and len(found.records[0].patient_key) == 64
    assert str(source.PatientID) not in repr(found.records)
    (alone,) = read_bookmarks(path).records
    assert alone.volume == f".#{source.SeriesInstanceUID}"


def test_report_with_the_codes_of_older_viewers(series, make_report):
    folder, volume, _ = series
    sources = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
    source = next(s for s in sources if s.SOPInstanceUID == volume.slice_uids[SLICE])
    path = make_report([(source, POINTS + 0.5)], sources)
    report = pydicom.dcmread(path)
    older = {"103339001": "G-A185", "103340004": "G-A186"}
    for item in report.iterall():
        if item.keyword == "ConceptNameCodeSequence" and item.value[0].CodeValue in older:
            item.value[0].CodeValue = older[item.value[0].CodeValue]
            item.value[0].CodingSchemeDesignator = "SRT"
    report.save_as(path)
    assert_is_the_lesion(read_bookmarks(path, image_root=folder.parent), volume)


def test_report_in_millimetres(series, make_report):
    folder, volume, mm = series
    sources = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
    path = make_report([(sources[0], mm)], sources)
    assert_is_the_lesion(read_bookmarks(path, image_root=folder.parent), volume)


def test_report_on_a_multiframe_file(make_multiframe, make_report):
    source = make_multiframe(heights=(4.0, 0.0, 6.0, 2.0))
    data = pydicom.dcmread(source)
    points = np.array([[4.0, 4], [12, 4], [8, 2], [8, 6]])
    path = make_report([(data, points + 0.5)], [data])
    # highdicom leaves the frame out where it is not asked for it; reports of viewers name it.
    report = pydicom.dcmread(path)
    for item in report.iterall():
        if item.keyword == "ReferencedSOPSequence" and item.value:
            item.value[0].ReferencedFrameNumber = 3
    report.save_as(path)
    found = read_bookmarks(path, volume="enhanced.dcm")
    assert found.errors == []
    assert found.records[0].frame_number == 3
    assert place(found.records[0], read_volume(source)).slice_index == 3


def test_mask(series, make_image, tmp_path):
    folder, volume, _ = series
    yy, xx = np.mgrid[:64, :64]
    labels = np.zeros(volume.array.shape, np.uint8)
    labels[2] = 7 * (((xx - 30) / 12) ** 2 + ((yy - 25) / 8) ** 2 <= 1)
    labels[3] = 7 * (((xx - 30) / 9) ** 2 + ((yy - 25) / 6) ** 2 <= 1)
    masks = tmp_path / "masks" / "case1"
    masks.mkdir(parents=True)
    sitk.WriteImage(volume.to_source(labels), str(masks / "case1_mask.nii.gz"))
    found = read_bookmarks(masks.parent, image_root=folder.parent)
    assert found.errors == []
    assert [(r.volume, r.row) for r in found.records] == [("case1", 7)]
    placed = place(found.records[0], volume)
    assert placed.slice_index == 2
    # 24 pixels of 0.9 mm along x, 16 pixels of 0.7 mm along y.
    assert placed.bookmark.long_length(volume.spacing_mm[:2]) == pytest.approx(21.6, abs=0.9)
    assert placed.bookmark.short_length(volume.spacing_mm[:2]) == pytest.approx(11.2, abs=0.7)
    every = read_bookmarks(masks.parent, image_root=folder.parent, slices="all")
    assert [place(r, volume).slice_index for r in every.records] == [2, 3]
    # Labels may be any numbers.
    high = np.where(labels > 0, 3_000_000_000, 0).astype(np.uint32)
    high[0, 5:9, 5:9] = 2
    sitk.WriteImage(volume.to_source(high), str(masks / "case1_mask.nii.gz"))
    again = read_bookmarks(masks.parent, image_root=folder.parent)
    assert again.errors == [] and [r.row for r in again.records] == [2, 3_000_000_000]
    assert (again.records[1].points == found.records[0].points).all()


def test_deeplesion_rows_as_published(shared_data):
    path = shared_data / "deeplesion_info_sample.csv"
    found = read_bookmarks(path)
    assert (len(found.records), found.errors) == (14, [])
    first = found.records[0]
    assert (first.volume, first.slice_number, first.split, first.site) == (
        "000089_01_01",
        37,
        "train",
        None,
    )
    assert first.points[0] == pytest.approx([153.273, 175.808])
    assert first.spacing_mm == (0.859375, 0.859375, 5.0)
    assert {r.split for r in found.records} == {"train", "test"}
    assert found.records[8].site == "mediastinum"


def test_deeplesion_rows_are_the_same_in_every_format(
    shared_data, make_table, make_markups, make_report, make_series, tmp_path
):
    """The 14 published rows through the pixel, mm, Slicer and SR readers."""
    published = read_bookmarks(shared_data / "deeplesion_info_sample.csv").records
    root = tmp_path / "images"

    def edit(data, k):
        pixels = np.zeros((512, 512), np.int16)
        pixels[k, k] = 1
        data.Rows = data.Columns = 512
        data.PixelData = pixels.tobytes()

    folder = make_series("images/scan", 3, edit=edit, spacing=(0.8, 0.8), step=(0, 0, -5.0))
    volume = read_volume(folder, root=root)
    sources = [pydicom.dcmread(p) for p in sorted(folder.iterdir())]
    middle = next(s for s in sources if s.SOPInstanceUID == volume.slice_uids[1])
    for number, record in enumerate(published):
        expected = place(
            BookmarkRecord("scan", record.points, slice_index=1), volume
        ).bookmark.points()
        mm = volume.to_patient_mm(volume.from_stored(record.points, 1))
        inputs = [
            make_table(row(record.points, "scan", 1), name=f"px{number}.csv"),
            make_table(
                row(mm * [-1, -1, 1], "scan", "RAS"),
                header=f"volume,frame,{MM_HEADER}",
                name=f"mm{number}.csv",
            ),
            make_markups([mm[:2], mm[2:]], name="scan.mrk.json"),
            make_report([(middle, record.points + 0.5)], sources, name=f"px{number}.dcm"),
            make_report([(middle, mm)], sources, name=f"mm{number}.dcm"),
        ]
        for path in inputs:
            found = read_bookmarks(path, image_root=root)
            assert found.errors == []
            placed = place(found.records[0], volume)
            assert placed.slice_index == 1
            assert placed.bookmark.points() == pytest.approx(expected, abs=2e-3)


def test_own_table_of_real_bookmarks(shared_data):
    root = shared_data / "mr_abdomen"
    found = read_bookmarks(root / "bookmarks.csv", image_root=root)
    volume = read_volume(root / "image.nii.gz", root=root)
    placed = [place(record, volume) for record in found.records]
    assert found.errors == []
    assert len(placed) == 66
    assert {r.site for r in found.records} == {
        "spinal_cord",
        "aorta",
        "inferior_vena_cava",
        "gallbladder",
    }


def test_a_whole_file_that_fits_better_shifted_is_noted(make_table):
    path = make_table(
        "a.nii,5,60,60,64,60,62,58,62,62",
        "a.nii,3,10,10,20,10,15,8,15,12",
        "b.nii,1,9,9,5,9,7,7,7,9",
    )
    records = read_bookmarks(path).records
    sizes = {"a.nii": (64, 64, 5), "b.nii": (9, 9, 3)}
    assert fits_better_shifted(records, sizes)
    (note,) = one_based_notes(records, sizes)
    assert note.startswith("bookmarks.csv: ") and "--one-based" in note
    assert not fits_better_shifted(records, {"a.nii": (65, 65, 6), "b.nii": (10, 10, 3)})
    assert not fits_better_shifted([], sizes)
    zero = make_table("a.nii,0,60,60,64,60,62,58,62,62", name="zero.csv")
    assert one_based_notes(read_bookmarks(zero).records, sizes) == []


def test_bookmarks_on_a_sagittal_series(make_series, make_table):
    """Drawn across axial slices in its pixels: refused. In mm on one axial slice: placed."""
    folder = make_series("sagittal", 12, orientation=(0, 1, 0, 0, 0, -1), step=(-2.0, 0, 0))
    volume = read_volume(folder, root=folder.parent)
    assert volume.array.shape == (64, 64, 12)
    assert volume.spacing_mm == pytest.approx((2.0, 0.9, 0.7))
    (record,) = read_bookmarks(make_table(row(POINTS, "sagittal", 2))).records
    across = place_error(record, volume)
    assert across.startswith("bookmarks.csv, row 2, slice 2: ") and "slices 32 to 46" in across
    axial = np.array([[3.0, 10, 40], [9, 10, 40], [6, 8, 40], [6, 16, 40]])
    table = make_table(
        row(volume.to_patient_mm(axial), "sagittal", "LPS"), header=f"volume,frame,{MM_HEADER}"
    )
    placed = place(read_bookmarks(table).records[0], volume)
    assert placed.slice_index == 40
    assert placed.bookmark.points() == pytest.approx(axial[:, :2], abs=1e-4)


def place_error(record, volume):
    with pytest.raises(DataError) as caught:
        place(record, volume)
    return str(caught.value)
