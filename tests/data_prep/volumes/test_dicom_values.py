"""DICOM header fields that change what a pixel means, and files of older kinds."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from said import says

from data_prep.dataset.one_volume.intensity import normalize
from data_prep.errors import DataError
from data_prep.volumes.dicom.values import real_values
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.volume import read_volume

PLANE = pydicom.dcmread(get_testdata_file("MR_small.dcm")).pixel_array
AIR = np.ones((64, 64), bool)
AIR[4:60, 4:60] = False


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        read_volume(path, root=path.parent, **options)
    return caught.value


def body(data):
    """Return the pixels of a slice with dark air around them."""
    pixels = data.pixel_array.copy()
    pixels[AIR] = PLANE.min() - 5
    return pixels


def edit(change):
    """Return an edit of `make_series` that puts in what `change(data, pixels)` returns."""

    def apply(data, k):
        data.PixelData = change(data, body(data)).astype("<i2").tobytes()

    return apply


def plain(data, pixels):
    return pixels


def mono1(data, pixels):
    data.PhotometricInterpretation = "MONOCHROME1"
    return 4000 - pixels


def padded(value, limit=None, written=None):
    def change(data, pixels):
        data.add_new(0x00280120, "US" if (written or value) > 0 else "SS", written or value)
        if limit is not None:
            data.add_new(0x00280121, "SS", limit)
            pixels[0, :32] = limit
        pixels[AIR & (pixels != limit)] = value
        return pixels

    return change


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (mono1, "inverted"),
        (padded(-2000), "padding"),
        (padded(-32768), "padding"),
        (padded(-2000, limit=-1990), "padding"),
        (padded(-2000, written=65536 - 2000), "padding"),  # signed pixels, value written as US
    ],
)
def test_slices_are_as_those_of_the_plain_series(make_series, change, note):
    """Within 1 % of the range, inside the body and as a whole."""
    expected = read_volume(make_series("plain", 3, edit=edit(plain)))
    got = read_volume(make_series("other", 3, edit=edit(change)))
    assert expected.notes == ()
    assert len(got.notes) == 1
    assert note in got.notes[0]
    for one, other in zip(expected.array, got.array, strict=True):
        assert np.abs(normalize(one) - normalize(other)).max() < 0.01


def header(**values) -> Dataset:
    data = Dataset()
    data.BitsStored, data.PixelRepresentation, data.Modality = 12, 0, "MR"
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


RAW = np.array([[[0, 1, 2, 4095]]], np.uint16)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, [4095, 4094, 4093, 0]),
        ({"PhotometricInterpretation": "MONOCHROME1", "Modality": "CT"}, [0, 1, 2, 4095]),
        ({"RescaleSlope": 2, "RescaleIntercept": 10}, [10, 12, 14, 8200]),
    ],
)
def test_values(values, expected):
    array, padding = real_values(RAW, header(**values), "a")
    assert array.ravel().tolist() == expected
    assert padding is None


def test_lookup_table():
    """Entries from stored value 1 on; what lies outside takes the table's ends."""
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [3, 1, 16], [50, 70, 200]
    array, _ = real_values(RAW, header(ModalityLUTSequence=[table]), "a")
    assert array.ravel().tolist() == [50, 50, 70, 200]


def test_private_scale_of_philips():
    """(stored x 2 + 10) / (2 x 0.5)."""
    data = header(RescaleSlope=2, RescaleIntercept=10)
    block = data.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0E, "FL", 0.5)
    precise, _ = real_values(RAW, data, "a", "precise")
    assert precise.ravel().tolist() == [10, 12, 14, 8200]
    display, _ = real_values(RAW, header(RescaleSlope=4, RescaleIntercept=0), "a", "precise")
    assert display.ravel().tolist() == [0, 4, 8, 16380]
    block.add_new(0x0E, "FL", 0.0)
    with pytest.raises(DataError, match="finite rescale"):
        real_values(RAW, data, "a", "precise")


def test_all_padding(make_series):
    def change(data, pixels):
        data.add_new(0x00280120, "SS", 7)
        return np.full_like(pixels, 7)

    assert "padding in every voxel" in refused(make_series("s", 2, edit=edit(change))).message


def test_real_world_values_and_distances_are_noted(make_series):
    def change(data, k):
        data.RealWorldValueMappingSequence = [Dataset()]
        data.SpacingBetweenSlices = 3.5

    volume = read_volume(make_series("s", 3, edit=change))
    assert volume.spacing_mm[2] == 2.5
    mapping, spacing = volume.notes
    assert "Real World Value Mapping" in mapping
    assert "3.5 mm but the slices lie 2.5 mm apart" in spacing


def test_without_preamble(make_series):
    """The file begins with its first element; the meta information may be missing too."""
    expected = read_volume(make_series("plain", 3)).array
    for meta in (b"DICM", b"\x02\x00\x10\x00UI", None):  # whole, from its syntax on, or none
        folder = make_series("bare", 3)
        for path in folder.iterdir():
            if meta:
                content = path.read_bytes()
                path.write_bytes(content[content.index(meta) :].removeprefix(b"DICM"))
                continue
            data, buffer = pydicom.dcmread(path), io.BytesIO()
            pydicom.dcmwrite(buffer, Dataset(data), implicit_vr=True, little_endian=True)
            path.write_bytes(buffer.getvalue())
        assert np.array_equal(read_volume(folder).array, expected)
        assert VolumeIndex(folder.parent).volumes == ["bare", "plain"]


def test_twelve_bit_jpeg(tmp_path):
    """Pillow claims JPEG Extended but decodes 8 bits; SimpleITK does all."""
    folder = tmp_path / "s"
    folder.mkdir()
    for k in range(2):
        data = pydicom.dcmread(get_testdata_file("JPGExtended.dcm"))
        data.SOPInstanceUID = generate_uid()
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 3 * k], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = [1, 1]
        data.save_as(folder / f"{k}.dcm")
    array = read_volume(folder).array
    assert array.shape == (2, data.Rows, data.Columns)
    assert array.max() > 255


@pytest.mark.parametrize("name", ["preview.png", "1.png", "dwi.bval", "export.log", "preview.jpg"])
def test_files_beside_slices_do_not_matter(make_series, name):
    folder = make_series("s", 3)
    expected = read_volume(folder).array
    (folder / name).write_bytes(b"\x89PNG\r\n")
    assert np.array_equal(read_volume(folder).array, expected)
    assert VolumeIndex(folder.parent).volumes == ["s"]


def test_pictures_alone_are_no_volume(tmp_path):
    (tmp_path / "preview.png").write_bytes(b"\x89PNG")
    assert VolumeIndex(tmp_path).volumes == []


@pytest.mark.parametrize(
    ("uid", "words"),
    [("66.4", "DICOM SEG"), ("481.3", "RTSTRUCT"), ("88.33", "(SR)"), ("11.1", "presentation")],
)
def test_other_objects_are_named(make_series, uid, words):
    def change(data, k):
        data.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{uid}"

    folder = make_series("s", 1, edit=change)
    (path,) = folder.iterdir()
    assert says(refused(path), path.name, words)


def test_mosaics_and_packed_files_are_named(make_series):
    def change(data, k):
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]

    assert "dcm2niix" in refused(make_series("s", 2, edit=change)).message
    folder = make_series("t", 2)
    for content, advice in ((b"PK\x03\x04", "Unpack it"), (b"\x1f\x8b\x08", "gunzip")):
        (folder / "IM999.dcm").write_bytes(content)
        assert advice in refused(folder).message


@pytest.mark.parametrize("signed", [0, 1])
def test_pixels_in_the_upper_bits(make_series, signed):
    """Old files: 12 bits of a pixel are the upper ones of 16 (HighBit 15)."""

    def lift(data, k):
        values = data.pixel_array.astype(int) - 500 * signed
        data.PixelData = (values << 4 & 0xFFFF).astype("<u2").tobytes()
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 15, signed

    usual = read_volume(make_series("usual"))
    lifted = read_volume(make_series("lifted", edit=lift))
    assert np.array_equal(lifted.array, usual.array.astype(int) - 500 * signed)
    wrong = make_series("wrong", edit=lambda data, k: setattr(data, "HighBit", 5))
    assert says(refused(wrong), "wrong/IM003.dcm", "HighBit from 15 to 15")


def test_a_scale_in_some_images_only(make_series):
    def edit(data, k):
        if k != 2:
            block = data.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
            block.add_new(0x0E, "FL", 0.01)

    folder = make_series("s", edit=edit)
    assert says(refused(folder, philips_scaling="precise"), "s", "in every image", "3 of 4")
    assert read_volume(folder).array.shape == (4, 64, 64)


def test_slices_of_two_patients_are_no_volume(make_series):
    folder = make_series("s", edit=lambda data, k: setattr(data, "PatientID", f"Q{k // 3}"))
    error = refused(folder)
    assert says(error, "s", "one patient", "2 PatientIDs") and "Q1" not in str(error)


def test_slices_of_two_frames_of_reference_get_a_note(make_series):
    def edit(data, k):
        data.FrameOfReferenceUID = f"1.2.{k // 2}"

    notes = read_volume(make_series("s", edit=edit)).notes
    assert "s: 2 frames of reference; the positions were taken as one." in notes


def test_a_slice_aside_of_the_others(make_series):
    def edit(data, k):
        x, y, z = data.ImagePositionPatient
        data.ImagePositionPatient = [x + (0.9 if k == 2 else 0.05 * (k % 2)), y, z]

    folder = make_series("s", edit=edit)
    assert says(refused(folder), "s, slice 2", "in a line", "aside")
