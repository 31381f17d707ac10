"""DICOM series that are not as they should be: the exact line that the user gets."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLosslessSV1

from data_prep.errors import DataError
from data_prep.volumes.volume import read_volume

DECODER = "1.2.840.10008.1.2.4.100"  # a film, which no decoder of images reads


def refused(path, root, **options):
    with pytest.raises(DataError) as caught:
        read_volume(path, root=root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def setter(keyword, value, only=None):
    def edit(data, k):
        if only is None or k == only:
            setattr(data, keyword, value)

    return edit


def remover(keyword):
    return lambda data, k: delattr(data, keyword)


def make_rgb(data, k):
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0


def make_constant(data, k):
    data.PixelData = np.full((64, 64), 7, np.int16).tobytes()


def make_undecodable(data, k):
    data.file_meta.TransferSyntaxUID = DECODER
    data.PixelData = pydicom.encaps.encapsulate([bytes(200)])
    data["PixelData"].VR = "OB"


def damage_jpeg(data, k):
    make_undecodable(data, k)
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1


def cut_pixels(data, k):
    if k == 1:
        data.PixelData = data.PixelData[:-100]


def leave_gap(data, k):
    if k >= 2:
        data.ImagePositionPatient[2] += 2.5


def uneven(data, k):
    if k >= 2:
        data.ImagePositionPatient[2] += 1.0


def double(data, k):
    if k == 2:
        data.ImagePositionPatient[2] -= 2.5


def tilt(data, k):
    data.ImagePositionPatient[1] += 0.5 * k


def two_times(data, k):
    data.ImagePositionPatient[2] = 40.0 + 2.5 * (k // 2)


def other_orientation(data, k):
    if k == 3:
        data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def other_size(data, k):
    if k == 1:
        data.Rows = 32


CASES = {
    "cut off": (
        cut_pixels,
        "series/IM010.dcm: Expected 8192 bytes of pixels but got 8092: the file is cut off. Copy "
        "it again.",
    ),
    "no decoder": (
        make_undecodable,
        "series/IM003.dcm: Expected pixels that can be decoded but got MPEG2 Main Profile / Main "
        "Level without a decoder. Decompress the files, e.g. with gdcmconv --raw.",
    ),
    "damaged JPEG": (
        damage_jpeg,
        "series/IM003.dcm: Expected pixels that can be decoded but its JPEG Lossless, "
        "Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1]) stream could "
        "not be: it is damaged or of a rare kind. Copy the file again, or decompress it, e.g. with "
        "gdcmconv --raw.",
    ),
    "gap": (
        leave_gap,
        "series, slice 1: Expected a slice every 2.5 mm but got a gap of 5 mm between "
        "series/IM010.dcm and series/IM017.dcm (1 missing). Export the series again.",
    ),
    "uneven": (
        uneven,
        "series, slice 1: Expected a slice every 2.5 mm but got a step of 3.5 mm between "
        "series/IM010.dcm and series/IM017.dcm. Resample the series to even steps.",
    ),
    "duplicate position": (
        double,
        "series, slice 1: Expected one image per position but got a duplicate: series/IM010.dcm "
        "and series/IM017.dcm. Remove one.",
    ),
    "duplicate file": (
        setter("SOPInstanceUID", "1.2.3"),
        "series: Expected each image once but got a duplicate: series/IM003.dcm and "
        "series/IM010.dcm. Remove one.",
    ),
    "mixed orientations": (
        other_orientation,
        "series: Expected one orientation but got another in series/IM024.dcm (mixed "
        "orientations). Separate the series, e.g. take the localizer out.",
    ),
    "gantry tilt": (
        tilt,
        "series: Expected slices stacked along their normal but got a gantry tilt of 11.3 degrees. "
        "Resample the series to an upright grid.",
    ),
    "4D": (
        two_times,
        "series: Expected one image per position but got 2 at each of 2 (4D: times, echoes or "
        "b-values). Put each into a folder of its own.",
    ),
    "RGB": (
        make_rgb,
        "series/IM003.dcm: Expected one grey value per pixel but got colours (RGB). Export grey "
        "values.",
    ),
    "palette": (
        setter("PhotometricInterpretation", "PALETTE COLOR"),
        "series/IM003.dcm: Expected grey values but got a colour palette. Export grey values.",
    ),
    "constant": (
        make_constant,
        "series: Expected an image but got 7 in every voxel. Export it again.",
    ),
    "no spacing": (
        remover("PixelSpacing"),
        "series/IM003.dcm: Expected PixelSpacing in the header but got no spacing. Export the "
        "images with it.",
    ),
    "empty spacing": (
        setter("PixelSpacing", None),
        "series/IM003.dcm: Expected PixelSpacing in the header but got no spacing. Export the "
        "images with it.",
    ),
    "zero spacing": (
        setter("PixelSpacing", [0, 0.5]),
        "series/IM003.dcm: Expected a positive spacing but got 0 x 0.5 mm. Repair the header.",
    ),
    "negative spacing": (
        setter("PixelSpacing", [0.5, -0.5]),
        "series/IM003.dcm: Expected a positive spacing but got 0.5 x -0.5 mm. Repair the header.",
    ),
    "two spacings": (
        setter("PixelSpacing", [0.5, 0.5], only=2),
        "series: Expected one pixel spacing but got 0.7 x 0.9 and 0.5 x 0.5 mm (series/IM017.dcm). "
        "Separate the series.",
    ),
    "two spacings of columns": (
        setter("PixelSpacing", [0.7, 0.5], only=2),
        "series: Expected one pixel spacing but got 0.7 x 0.9 and 0.7 x 0.5 mm (series/IM017.dcm). "
        "Separate the series.",
    ),
    "huge spacing": (
        setter("PixelSpacing", [20000, 0.5]),
        "series/IM003.dcm: Expected a spacing below 10000 mm but got 20000 x 0.5 mm. Repair the "
        "header.",
    ),
    "two sizes": (
        other_size,
        "series: Expected slices of one size but got 64 x 64 and 64 x 32 (series/IM010.dcm). "
        "Separate the series.",
    ),
    "no position": (
        remover("ImagePositionPatient"),
        "series/IM003.dcm: Expected ImagePositionPatient in the header but got none. Export the "
        "images with it.",
    ),
    "no orientation": (
        remover("ImageOrientationPatient"),
        "series/IM003.dcm: Expected ImageOrientationPatient in the header but got none. Export "
        "the images with it.",
    ),
    "skewed orientation": (
        setter("ImageOrientationPatient", [1, 0, 0, 0.5, 1, 0]),
        "series/IM003.dcm: Expected unit vectors at right angles in ImageOrientationPatient but "
        "got others. Repair the header.",
    ),
    "zero slope": (
        setter("RescaleSlope", 0),
        "series/IM003.dcm: Expected a finite rescale with a factor other than 0 but got another. "
        "Repair the header.",
    ),
    "huge": (
        lambda data, k: (setattr(data, "Rows", 65535), setattr(data, "Columns", 65535)),
        "series/IM003.dcm: Expected at most 536870912 voxels but got 65535 x 65535 x 1. Repair "
        "the header, crop the volume, or raise the limit with MMGLAN_MAX_GIB in the environment.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_series(make_series, tmp_path, case):
    edit, message = CASES[case]
    assert refused(make_series(edit=edit), tmp_path) == message


def test_errors_hold_nothing_of_the_patient(make_series, tmp_path):
    """Every case again, on files full of patient data."""
    secrets = {
        "PatientName": "DOE^JOHN",
        "PatientID": "ID4711",
        "PatientBirthDate": "19500203",
        "StudyDate": "20040826",
        "AccessionNumber": "ACC815",
        "PatientComments": "seen by Dr Secret",
        "SeriesDescription": "T2 of Mr Doe",
    }
    for number, (edit, _) in enumerate(CASES.values()):

        def with_secrets(data, k, edit=edit):
            for keyword, value in secrets.items():
                setattr(data, keyword, value)
            edit(data, k)

        folder = make_series(f"DOE_JOHN/case{number}", edit=with_secrets)
        with pytest.raises(DataError) as caught:
            read_volume(folder)  # no root given: only the last part of the path is shown
        shown = f"{caught.value} {caught.value!r} {caught.value.__cause__}"
        for secret in (*secrets.values(), "DOE", "Doe", "4711"):
            assert secret not in shown
