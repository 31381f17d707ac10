"""Rarer forms of the file formats."""

import struct

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from bad_volumes import written

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.volumes.volume import read_volume

ARRAY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def test_nifti_whose_fourth_axis_has_one_step(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(tmp_path / "v.nii"))
    data = bytearray((tmp_path / "v.nii").read_bytes())
    struct.pack_into("<6h", data, 40, 5, 5, 4, 3, 1, 1)
    (tmp_path / "v.nii").write_bytes(data)
    assert np.array_equal(read_volume(tmp_path / "v.nii").array, ARRAY)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.mha"])
def test_simpleitk_reads_headers_only(tmp_path, monkeypatch, name):
    """Voxels come from one reader, which misses no damage."""

    def refuse(reader):
        raise AssertionError("SimpleITK reads voxels")

    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(tmp_path / name), useCompression=True)
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", refuse)
    assert np.array_equal(read_volume(tmp_path / name).array, ARRAY)


def test_nrrd_with_spacings_alone(tmp_path):
    text = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 5 4 3\nspacings: 1 2 3\n"
    rest = "encoding: raw\nendian: big\n\n"
    (tmp_path / "v.nrrd").write_bytes((text + rest).encode() + ARRAY.astype(">i2").tobytes())
    volume = read_volume(tmp_path / "v.nrrd")
    assert [note.split(";")[0] for note in volume.notes] == [
        "v.nrrd: the header states no orientation"
    ]
    assert volume.spacing_mm == (1.0, 2.0, 3.0)
    assert np.array_equal(volume.array, ARRAY)


def test_metaimage_of_the_other_byte_order(tmp_path):
    text = (
        "ObjectType = Image\r\nNDims = 3\r\nDimSize = 5 4 3\r\nElementSpacing = 1 2 3\r\n"
        "ElementByteOrderMSB = True\r\nElementType = MET_SHORT\r\nElementDataFile = v.raw\r\n"
    )
    (tmp_path / "v.mhd").write_bytes(text.encode())
    (tmp_path / "v.raw").write_bytes(ARRAY.astype(">i2").tobytes())
    volume = read_volume(tmp_path / "v.mhd")
    assert volume.spacing_mm == (1.0, 2.0, 3.0)
    assert np.array_equal(volume.array, ARRAY)


def test_folder_of_reports_finds_series_below_the_image_folder(
    tmp_path, make_series, make_multiframe, make_report
):
    """One report on a multi-frame file, one on a series that shares its folder."""
    shared = make_series("images/both", 3, series="1.2.3.1")
    make_series("other", 3, series="1.2.3.2")
    for path in (tmp_path / "other").iterdir():
        path.rename(shared / f"b{path.name}")
    make_multiframe("images/frames.dcm")
    (tmp_path / "images" / "notes.txt").write_text("no DICOM")
    points = np.array([[4.0, 4], [12, 4], [8, 2], [8, 6]])
    reports = tmp_path / "reports"
    reports.mkdir()
    in_series = [pydicom.dcmread(p) for p in sorted(shared.glob("b*"))]
    frames = pydicom.dcmread(tmp_path / "images" / "frames.dcm")
    make_report([(in_series[0], points)], in_series, "reports/a.dcm")
    make_report([(frames, points)], [frames], "reports/b.dcm")
    (reports / "c.dcm").write_bytes(bytes(128) + b"DICM" + bytes(3))
    found = read_bookmarks(reports, image_root=tmp_path / "images")
    assert [r.volume for r in found.records] == ["both#1.2.3.2", "frames.dcm"]
    assert [e.path for e in found.errors] == ["reports/c.dcm"]
    root = tmp_path / "images"
    placed = [place(r, read_volume(f"{root}/{r.volume}", root=root)) for r in found.records]
    assert all(np.allclose(p.bookmark.points(), points - 0.5) for p in placed)


def test_masks_belong_to_nested_series_and_to_files(tmp_path, make_series, make_image):
    make_series("images/ABD_001/study/series", 3)
    sitk.WriteImage(make_image(), str(tmp_path / "images" / "mr7.nii.gz"))
    labels = np.zeros((3, 30, 30), np.uint8)
    labels[1, 5:12, 5:15] = 1
    for name in ("ABD_001_mask", "mr7-labels", "unknown"):
        folder = tmp_path / "masks" / name.split("_mask")[0]
        folder.mkdir(parents=True)
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(folder / f"{name}.nii.gz"))
    found = read_bookmarks(tmp_path / "masks", image_root=tmp_path / "images")
    assert [r.volume for r in found.records] == ["ABD_001/study/series", "mr7.nii.gz"]
    assert found.errors == []
    assert not found.all_volumes_known
    (note,) = found.notes
    assert note.startswith("masks/unknown/unknown.nii.gz: no volume of this name")


@pytest.mark.parametrize(
    ("name", "line"),
    [("v.nrrd", b'space units: "um" "um" "um"\n'), ("v.mha", b"DistanceUnits = um\n")],
)
def test_units_other_than_mm_are_refused(tmp_path, name, line):
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(path))
    before = b"encoding:" if name == "v.nrrd" else b"ElementType"
    path.write_bytes(path.read_bytes().replace(before, line + before, 1))
    with pytest.raises(DataError, match="but got 'um'"):
        read_volume(path)
    path.write_bytes(path.read_bytes().replace(b"um", b"mm"))
    assert np.array_equal(read_volume(path).array, ARRAY)


def test_metaimage_values_are_scaled_as_its_header_says(tmp_path, make_image):
    path = written(tmp_path, "v.mha", make_image())
    plain = read_volume(path).array
    lines = b"ElementToIntensityFunctionSlope = 0.5\nElementToIntensityFunctionOffset = -3\n"
    path.write_bytes(path.read_bytes().replace(b"ElementType", lines + b"ElementType"))
    volume = read_volume(path)
    assert np.array_equal(volume.array, plain * 0.5 - 3)
    assert volume.notes == ("v.mha: the values were scaled by 0.5 and -3 added, as it says.",)
    path.write_bytes(path.read_bytes().replace(b"Slope = 0.5", b"Slope = 0"))
    with pytest.raises(DataError, match="a slope and an offset in"):
        read_volume(path)


def test_a_space_without_directions_of_the_patient_is_noted(tmp_path, make_image):
    path = tmp_path / "v.nrrd"
    sitk.WriteImage(make_image(), str(path))
    plain, content = read_volume(path), path.read_bytes()
    path.write_bytes(content.replace(b"left-posterior-superior", b"scanner-xyz"))
    volume = read_volume(path)
    assert plain.notes == () and "LPS is assumed" in volume.notes[0]
    assert volume.grid == plain.grid


def test_quantised_nrrd_is_noted(tmp_path, make_image):
    path = written(tmp_path, "v.nrrd", make_image())
    plain = read_volume(path).array
    content = path.read_bytes().replace(b"encoding:", b"old min: 0\nold max: 1\nencoding:")
    path.write_bytes(content)
    volume = read_volume(path)
    assert np.array_equal(volume.array, plain) and "(old min, old max)" in volume.notes[0]
