"""Broken volumes: nothing but DataError, in one line, ever comes out.

Each runs a few examples; `make fuzz` runs 10 000 of each.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.volumes import decode_server
from data_prep.volumes.volume import read_volume

pytestmark = pytest.mark.fuzz
fuzz = settings.get_profile("readers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for all examples of this module."""
    return tmp_path_factory.mktemp("fuzz")


def small_image(kind=sitk.sitkInt16):
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) % 3
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.75, 1.25, 3.0))
    return sitk.Cast(image, kind)


@pytest.fixture(scope="module")
def sound_files(folder):
    """Bytes of a sound file of each format."""
    found = {}
    for suffix in ("nii", "nii.gz", "nrrd", "mha"):
        for packed in (False, True):
            path = folder / f"sound.{suffix}"
            sitk.WriteImage(small_image(), str(path), packed)
            found[suffix, packed] = path.read_bytes()
    plane = np.full((6, 5), 40000, np.uint16)
    found["png"] = cv2.imencode(".png", plane)[1].tobytes()
    return found


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha"])
@fuzz
@given(data=st.data())
def test_header_files(folder, sound_files, survives, damage, suffix, data):
    sound = sound_files[suffix, data.draw(st.booleans())]
    damaged = damage(data, sound, 480)
    path = folder / f"damaged.{suffix}"
    path.write_bytes(damaged)
    survives(read_volume, path)
    survives(read_bookmarks, path)


@fuzz
@given(data=st.data())
def test_deeplesion_folder(folder, sound_files, survives, damage, data):
    slices = folder / "000001_01_01"
    shutil.rmtree(slices, ignore_errors=True)
    slices.mkdir()
    names = data.draw(st.lists(st.sampled_from(["001", "002", "003", "x", "9" * 12]), min_size=1))
    for name in names:
        sound = sound_files["png"]
        content = damage(data, sound, 60) if data.draw(st.booleans()) else sound
        (slices / f"{name}.png").write_bytes(content)
    spacing = data.draw(st.none() | st.tuples(*[st.floats() | st.just(1.0)] * 3))
    survives(read_volume, slices, spacing_mm=spacing)


def small_slice(k: int) -> pydicom.Dataset:
    data = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    data.Rows = data.Columns = 8
    data.PixelData = bytes([k] * 128)
    data.SOPInstanceUID = f"1.2.3.{k + 2}"
    data.ImagePositionPatient = [0.0, 0.0, 2.0 * k]
    return data


@pytest.fixture(scope="module")
def sound_slices(folder):
    """Bytes of three slices of a series."""
    contents = []
    for k in range(3):
        small_slice(k).save_as(folder / "slice.dcm")
        contents.append((folder / "slice.dcm").read_bytes())
    return contents


@fuzz
@given(data=st.data())
def test_dicom_bytes(folder, sound_slices, survives, damage, data):
    series = folder / "bytes"
    shutil.rmtree(series, ignore_errors=True)
    series.mkdir()
    at = data.draw(st.integers(0, 2))
    for k, content in enumerate(sound_slices):
        if k == at:
            content = damage(data, content, len(content))
        (series / f"{k}.dcm").write_bytes(content)
    survives(read_volume, series)
    survives(read_volume, series / f"{at}.dcm", min_slices=1)


VALUES = st.one_of(
    st.none(),
    st.integers(-3, 70000),
    st.floats(-1e9, 1e9).map(lambda f: float(f"{f:.4g}")),
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.25, 1e6]), max_size=7),
    st.sampled_from(["", "RGB", "PALETTE COLOR", "1.2.840.10008.1.2.4.90", "1\\2", "nan"]),
)
KEYWORDS = [
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RescaleSlope",
    "RescaleIntercept",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
]


@fuzz
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(KEYWORDS), VALUES), max_size=4))
def test_dicom_values(folder, survives, edits):
    series = folder / "values"
    shutil.rmtree(series, ignore_errors=True)
    series.mkdir()
    slices = [small_slice(k) for k in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, keyword, value in edits:
            try:
                setattr(slices[k], keyword, value)
                slices[k].save_as(series / f"{k}.dcm")
            except Exception:  # pydicom does not write every value: then the file lacks it
                slices[k] = small_slice(k)
        for k, one in enumerate(slices):
            one.save_as(series / f"{k}.dcm")
    survives(read_volume, series)


@pytest.fixture(scope="module")
def sound_streams(jpeg_lossless):
    """A slice compressed as JPEG Lossless (GDCM decodes it), JPEG 2000 and RLE."""
    data = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    jpeg_2000 = cv2.imencode(".jp2", data.pixel_array.astype(np.uint16))[1].tobytes()
    streams = {JPEGLosslessSV1: jpeg_lossless(data.pixel_array), JPEG2000Lossless: jpeg_2000}
    data.compress(RLELossless, generate_instance_uid=False)
    return streams | {RLELossless: pydicom.encaps.get_frame(data.PixelData, 0)}


def read_stream(path, stream, syntax):
    one = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    one.PixelData = pydicom.encaps.encapsulate([stream or b"\0\0"])
    one["PixelData"].VR = "OB"
    one.file_meta.TransferSyntaxUID = syntax
    one.save_as(path)
    return read_volume(path, min_slices=1)


@fuzz
@given(data=st.data())
def test_rle_pixels(folder, sound_streams, survives, damage, data):
    stream = damage(data, sound_streams[RLELossless], 200)
    survives(read_stream, folder / "rle.dcm", stream, RLELossless)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless], ids=["jpeg", "jpeg2000"])
@fuzz
@given(data=st.data())
def test_jpeg_pixels(folder, sound_streams, survives, damage, monkeypatch, syntax, data):
    monkeypatch.setattr(decode_server, "TIMEOUT_S", 1.0)  # some streams decode without end
    stream = damage(data, sound_streams[syntax], 200)
    survives(read_stream, folder / "jpeg.dcm", stream, syntax)
