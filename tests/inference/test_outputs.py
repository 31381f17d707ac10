"""What each kind of output holds beside the findings themselves: warnings, pictures, types."""

from dataclasses import replace

import cv2
import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from mmglan.commands.infer import parse_args
from mmglan.inference.outputs import FORMATS, make_files
from mmglan.inference.outputs.tables import COLUMNS

WARNING = "Not what the model is for: spacing 9 mm."
TEXTS = ("json", "slicer", "coco", "dicom-sr", "dicom-seg")


@pytest.fixture(scope="module")
def warned(written_in):
    """A result with a warning."""
    result = written_in("axial_square").result
    return replace(result, findings=replace(result.findings, warnings=(WARNING,)))


@pytest.mark.parametrize("kind", TEXTS)
def test_a_warning_is_in_every_output_with_room_for_text(warned, kind):
    content = make_files(warned, [kind])[FORMATS[kind].file_name]
    assert WARNING.encode() in content


@pytest.mark.parametrize("kind", FORMATS)
def test_a_warning_lies_beside_every_output(warned, written_in, kind):
    empty = replace(warned, findings=replace(warned.findings, lesions=()))
    for result in (warned, empty if kind == "coco" else warned):
        assert make_files(result, [kind])["warnings.txt"] == f"{WARNING}\n".encode()
    assert "warnings.txt" not in make_files(written_in("axial_square").result, [kind])


def test_a_warning_is_in_the_header_of_the_label_map(warned, written_in, tmp_path):
    def description(result):
        path = tmp_path / "labels.nii.gz"
        path.write_bytes(make_files(result, ["labels"])[path.name])
        return sitk.ReadImage(str(path)).GetMetaData("descrip").strip()

    assert description(warned) == f"WARNING: {WARNING}"
    long = replace(warned, findings=replace(warned.findings, warnings=("µ" * 200,)))
    assert description(long) == "WARNING: " + "?" * 70
    assert description(written_in("axial_square").result) == ""


def test_a_report_with_a_warning_is_read(warned, tmp_path):
    for name, content in make_files(warned, ["dicom-sr", "slicer"]).items():
        (tmp_path / name).write_bytes(content)
    data = pydicom.dcmread(tmp_path / "findings.sr.dcm")
    assert [item.ValueType for item in data.ContentSequence][-2:] == ["CONTAINER", "CONTAINER"]
    assert len(read_bookmarks(tmp_path / "findings.sr.dcm").records) == 2
    assert len(read_bookmarks(tmp_path / "findings.mrk.json").records) == 2


def picture(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def test_a_picture_of_each_lesion(written_in, warned):
    result = written_in("axial").result
    files = make_files(result, ["overlays"])
    assert list(files) == ["overlays/lesion-0001.png", "overlays/lesion-0002.png"]
    for content, lesion in zip(files.values(), result.findings.lesions, strict=True):
        shown = picture(content)
        body = shown[-round(26 * 18 * 1.1 / 0.8) :]  # 26 rows of 18 pixels, stretched to mm
        assert shown.shape[1] == 30 * 18
        # The axes are cyan in the middle of the lesion.
        x, y = np.mean(lesion.recist.long_axis, axis=0)
        row, column = round((y + 0.5) * 18 * 1.1 / 0.8), round((x + 0.5) * 18)
        near = body[row - 12 : row + 13, column - 12 : column + 13].reshape(-1, 3)
        assert (near == (0, 255, 255)).all(axis=1).any()
        assert ((body[:, :, 1] > 200) & (body[:, :, 0] < 60) & (body[:, :, 2] < 60)).any()
    # A warning makes the strip of text higher.
    heights = [
        picture(make_files(r, ["overlays"])["overlays/lesion-0001.png"]).shape[0]
        for r in (written_in("axial_square").result, warned)
    ]
    assert heights[0] < heights[1]


def test_a_lesion_without_a_mask_is_drawn_as_a_box(written_in):
    result = written_in("axial").result
    lesion = result.findings.lesions[0]
    bare = replace(
        lesion, recist=None, slices=tuple(replace(p, segmentation=None) for p in lesion.slices)
    )
    result = replace(result, findings=replace(result.findings, lesions=(bare,)))
    shown = picture(make_files(result, ["overlays"])["overlays/lesion-0001.png"])
    assert (shown == (0, 255, 0)).all(axis=2).any()
    assert not (shown == (0, 255, 255)).all(axis=2).any()


@pytest.mark.parametrize("name", ["axial", "sagittal", "enhanced"])
def test_a_labelmap_segmentation_holds_the_same_voxels(written_in, tmp_path, name):
    result = replace(written_in(name).result, seg_type="labelmap")
    (content,) = make_files(result, ["dicom-seg"]).values()
    (tmp_path / "seg.dcm").write_bytes(content)
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    assert seg.SegmentationType == "LABELMAP"
    stored = result.volume.grid.to_stored(result.labels)
    volume = seg.get_volume(combine_segments=True)
    reference = hd.Volume.from_components(
        array=stored,
        direction=np.array(result.volume.grid.direction).reshape(3, 3)[:, ::-1],
        position=result.volume.grid.origin,
        spacing=result.volume.grid.spacing[::-1],
        coordinate_system="PATIENT",
    )
    assert np.array_equal(volume.match_geometry(reference).array, stored)


def test_the_type_of_a_segmentation_that_is_not_written_is_refused(capsys):
    words = ["c.py", "w.pth", "scan", "--out-dir", "out", "--formats", "csv"]
    with pytest.raises(SystemExit):
        parse_args([*words, "--seg-type", "labelmap"])
    assert "--seg-type needs dicom-seg" in capsys.readouterr().err


def test_formats_are_files_or_folders_of_one_name():
    assert len({kind.file_name for kind in FORMATS.values()}) == len(FORMATS)


def test_the_page_names_every_column(repository):
    page = (repository / "docs/findings_files.md").read_text()
    points = [name for name in COLUMNS if name.endswith(("1_mm", "2_mm"))]
    assert len(points) == 12 and f"`{points[0]}`" in page and f"`{points[-1]}`" in page
    assert all(f"`{name}`" in page for name in COLUMNS if name not in points)
