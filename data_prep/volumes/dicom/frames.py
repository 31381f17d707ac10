"""What a DICOM image says about its slices, and its stored pixels."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    SecondaryCaptureImageStorage,
)

from data_prep.errors import DataError, quoted
from data_prep.volumes.dicom.slice_order import SliceInfo
from data_prep.volumes.stored import check_size, only_data_errors

MAX_FRAMES = 1 << 14
# What SimpleITK's DICOM reader decodes: a failure means that the stream is at fault.
GDCM_SYNTAXES = (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes)
_PIXEL_KEYWORDS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit")
_PIXEL_KEYWORDS += ("PixelRepresentation", "PixelData")


def slices_of(data: Dataset, label: str, source: int) -> list[SliceInfo]:
    """Return the geometry of every frame of an image (one for a single-frame file)."""
    if int(data.get("SamplesPerPixel", 1)) != 1:
        raise DataError(
            "Expected one grey value per pixel but got colours (RGB). Export grey values.",
            path=label,
        )
    if "MOSAIC" in [str(v).upper() for v in data.get("ImageType", None) or ()]:
        raise DataError(
            "Expected one slice per image but got a Siemens mosaic, which holds them all side by "
            "side. Convert the series to NIfTI, e.g. with dcm2niix.",
            path=label,
        )
    if "PALETTE" in str(data.get("PhotometricInterpretation", "")):
        raise DataError(
            "Expected grey values but got a colour palette. Export grey values.", path=label
        )
    frames = frame_count(data)
    if frames > MAX_FRAMES:
        raise DataError(
            f"Expected at most {MAX_FRAMES} frames but got {frames}. Repair the header.",
            path=label,
        )
    rows, columns = int(data.Rows), int(data.Columns)
    check_size((columns, rows, frames), label)
    groups = frame_groups(data, label)
    uid = str(data.get("SOPInstanceUID", ""))
    return [
        SliceInfo(
            rows,
            columns,
            _numbers(data, group, "ImagePositionPatient", 3, label),
            _orientation(data, group, label),
            _spacing(data, group, label),
            _thickness(data, group),
            label if frames == 1 else f"frame {frame + 1}",
            source,
            frame,
            uid if frames == 1 else f"{uid}#{frame + 1}",
        )
        for frame, group in enumerate(groups)
    ]


def frame_count(data: Dataset) -> int:
    """Return the number of frames; 1 for a single-frame file."""
    return int(data.get("NumberOfFrames", None) or 1)


def frame_groups(data: Dataset, label: str) -> list[tuple[Dataset, ...]]:
    """Return, per frame, its own functional groups and the shared ones, in order of precedence."""
    shared = tuple(data.get("SharedFunctionalGroupsSequence", None) or ())[:1]
    own = list(data.get("PerFrameFunctionalGroupsSequence", None) or ())
    frames = frame_count(data)
    if own and len(own) != frames:
        raise DataError(
            f"Expected {frames} functional groups but got {len(own)}. Export the file again.",
            path=label,
        )
    return [((own[i],) if own else ()) + shared for i in range(frames)]


_GROUP_OF = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}


def find(data: Dataset, groups: Iterable[Dataset], keyword: str):
    """Return a value from a frame's functional groups, else from the top level, else None."""
    for group in groups:
        for item in group.get(_GROUP_OF[keyword], None) or ():
            value = item.get(keyword, None)
            if value is not None:
                return value
    return data.get(keyword, None)


def _numbers(
    data: Dataset, groups: tuple[Dataset, ...], keyword: str, count: int, label: str
) -> tuple[float, ...]:
    value = find(data, groups, keyword)
    if value is None or value == "":
        what = "no spacing" if keyword == "PixelSpacing" else "none"
        raise DataError(
            f"Expected {keyword} in the header but got {what}. Export the images with it.",
            path=label,
        )
    numbers = tuple(float(v) for v in value) if hasattr(value, "__len__") else (float(value),)
    if len(numbers) != count or not all(math.isfinite(n) for n in numbers):
        raise DataError(
            f"Expected {count} finite numbers in {keyword} but got {quoted(list(numbers))}. "
            "Repair the header.",
            path=label,
        )
    return numbers


def _orientation(data: Dataset, groups: tuple[Dataset, ...], label: str) -> tuple[float, ...]:
    six = np.array(_numbers(data, groups, "ImageOrientationPatient", 6, label))
    row, column = six[:3], six[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose(lengths, 1, atol=1e-2) or abs(row @ column) > 1e-2:
        raise DataError(
            "Expected unit vectors at right angles in ImageOrientationPatient but got others. "
            "Repair the header.",
            path=label,
        )
    # Headers hold rounded cosines; the grid wants them exact.
    row = row / lengths[0]
    column = column - (column @ row) * row
    return tuple(float(v) for v in (*row, *(column / np.linalg.norm(column))))


def _spacing(data: Dataset, groups: tuple[Dataset, ...], label: str) -> tuple[float, float]:
    spacing = _numbers(data, groups, "PixelSpacing", 2, label)
    if min(spacing) <= 0 or max(spacing) > 1e4:
        wanted = "a positive spacing" if min(spacing) <= 0 else "a spacing below 10000 mm"
        raise DataError(
            f"Expected {wanted} but got {spacing[0]:g} x {spacing[1]:g} mm. Repair the header.",
            path=label,
        )
    return spacing


def _thickness(data: Dataset, groups: tuple[Dataset, ...]) -> float | None:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = find(data, groups, keyword)
        if value not in (None, "") and 0 < abs(float(value)) < 1e4:
            return abs(float(value))
    return None


def stored_pixels(data: Dataset, label: str) -> np.ndarray:
    """Return the stored pixels `(frames, rows, columns)` of a file, decoded where they are packed.

    Raises:
        DataError: No pixels, too few, or none that a decoder here understands.
    """
    shape = (frame_count(data), int(data.Rows), int(data.Columns))
    syntax = UID(str(data.file_meta.TransferSyntaxUID))
    if not any(k in data for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise DataError("Expected an image but got no pixels. Export it again.", path=label)
    if not syntax.is_compressed:
        bits = int(data.get("BitsAllocated", 32 if "FloatPixelData" in data else 64))
        stored = next(
            data[k].value
            for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
            if k in data
        )
        wanted = int(np.prod(shape, dtype=np.int64)) * bits // 8
        if len(stored) < wanted:
            raise DataError(
                f"Expected {wanted} bytes of pixels but got {len(stored)}: the file is cut off. "
                "Copy it again.",
                path=label,
            )
    elif not _can_decode(syntax):
        return _gdcm(data, shape, syntax, label)
    with only_data_errors(label):
        try:
            shift = 0 if syntax.is_compressed else _unused_low_bits(data, label)
            pixels = np.asarray(data.pixel_array).reshape(shape)
            return pixels >> shift if shift else pixels
        except Exception:
            if syntax != JPEGExtended12Bit:  # Pillow claims it, but decodes 8 bits only
                raise
    return _gdcm(data, shape, syntax, label)


def _unused_low_bits(data: Dataset, label: str) -> int:
    """Return how many bits lie below a pixel's own, and let pydicom read them with the pixel.

    Old files hold pixels of 12 bits in the upper bits of 16; pydicom takes them for the lower ones.
    """
    if "BitsStored" not in data or data.get("HighBit", None) is None:
        return 0
    shift = int(data.HighBit) + 1 - int(data.BitsStored)
    if shift < 0 or int(data.HighBit) >= int(data.BitsAllocated):
        raise DataError(
            f"Expected HighBit from {int(data.BitsStored) - 1} to {int(data.BitsAllocated) - 1} but"
            f" got {int(data.HighBit)}. Repair the header.",
            path=label,
        )
    data.BitsStored = int(data.BitsStored) + shift
    return shift


def _can_decode(syntax: UID) -> bool:
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _gdcm(data: Dataset, shape: tuple[int, int, int], syntax: UID, label: str) -> np.ndarray:
    """Decode with SimpleITK what pydicom does not.

    It is given the pixels alone, in memory, since it would apply some rescales and inversions.
    """
    refused = DataError(
        f"Expected pixels that can be decoded but got {syntax.name} without a decoder. Decompress "
        "the files, e.g. with gdcmconv --raw.",
        path=label,
    )
    if shape[0] != 1:
        raise refused
    array = None
    with suppress(RuntimeError, ValueError, OSError), _in_memory(data) as path:
        array = sitk.GetArrayFromImage(sitk.ReadImage(path, imageIO="GDCMImageIO"))
    if array is not None and array.shape == shape:
        return array
    if syntax in GDCM_SYNTAXES:
        raise DataError(
            f"Expected pixels that can be decoded but its {syntax.name} stream could not be: it is "
            "damaged or of a rare kind. Copy the file again, or decompress it, e.g. with gdcmconv "
            "--raw.",
            path=label,
        )
    raise refused


@contextmanager
def _in_memory(data: Dataset) -> Iterator[str]:
    """Give the path of a DICOM file in memory that holds the pixels of `data` and no more."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    image.PhotometricInterpretation = "MONOCHROME2"
    for keyword in _PIXEL_KEYWORDS:
        if keyword in data:
            image.add(data[keyword])
    with open(os.memfd_create("pixels"), "w+b") as file:
        image.save_as(file, enforce_file_format=True)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
