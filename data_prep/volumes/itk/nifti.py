"""The headers of NIfTI-1, NIfTI-2 and Analyze 7.5 files, checked field by field."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.volumes.itk.header import BROKEN_COMPRESSION, Header
from data_prep.volumes.itk.nifti_geometry import Forms, nifti_grid

# NIfTI's own codes of number types; Analyze has the first five of them.
_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_COLOUR = (128, 2304)
_MAX_OFFSET = 1 << 24
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class _Fields:
    """The fields of a header, whatever the version of the format.

    Args:
        order: Byte order, as `struct` calls it.
        dims: Number of axes, then their lengths.
        code: Number type.
        offset: First byte of the voxels.
        slope: Factor on the stored numbers.
        intercept: Added after the factor.
        forms: Places of the voxels.
        header_size: Bytes before the first possible voxel, in a file that holds both.
        pair: Whether the voxels are in a file of their own.
    """

    order: str
    dims: tuple[int, ...]
    code: int
    offset: float
    slope: float
    intercept: float
    forms: Forms
    header_size: int
    pair: bool


def nifti(path: Path, name: str, form: str | None = "auto") -> Header:
    """Read and check the header of `.nii`, `.nii.gz` and `.hdr`.

    Args:
        path: The file.
        name: How messages call it.
        form: See `data_prep.volumes.itk.nifti_geometry.nifti_grid`; None: the grid is not wanted.
    """
    start, zipped = _start(path, name)
    fields = _fields(start)
    is_hdr = path.name.lower().endswith(".hdr")
    if fields is None or fields.pair != is_hdr:
        what = "other contents"
        if fields is not None:
            what = "a header alone (.hdr)" if fields.pair else "header and voxels in one (.nii)"
        raise DataError(
            f"Expected a {'NIfTI or Analyze header' if is_hdr else 'NIfTI file'} but got {what}. "
            "Check the format and the extension.",
            path=name,
        )
    if not is_hdr and zipped != path.name.lower().endswith(".gz"):
        wanted, got = (".nii.gz", ".nii") if zipped else (".nii", ".nii.gz")
        raise DataError(
            f"Expected the extension {wanted} for these contents but got {got}. Rename the file.",
            path=name,
        )
    _check_dims(fields.dims, name)
    _check_type(fields.code, name)
    lowest = 0 if fields.pair else fields.header_size
    if not math.isfinite(fields.offset) or not lowest <= fields.offset <= _MAX_OFFSET:
        raise DataError(
            f"Expected voxels from a byte between {lowest} and {_MAX_OFFSET} on but got "
            f"{fields.offset:.9g}. Repair the header.",
            path=name,
        )
    slope, intercept = fields.slope, fields.intercept
    # A factor of 0 or NaN means "not scaled".
    if slope == 0 or not math.isfinite(slope):
        slope, intercept = 1.0, 0.0
    if not math.isfinite(intercept):
        raise DataError(
            "Expected a finite scl_inter but got another. Repair the header.", path=name
        )
    size = tuple(int(d) for d in fields.dims[1:4])
    data_file = _image_file(path, name) if fields.pair else path
    if fields.pair:
        with open(data_file, "rb") as file:
            zipped = file.read(2) == _GZIP
    grid, notes = None, ()
    if form is not None:
        grid, notes = nifti_grid(fields.forms, size, form, name)
    return Header(
        size,
        np.dtype(fields.order + _TYPES[fields.code]),
        data_file,
        int(fields.offset),
        "gzip" if zipped else None,
        zipped,
        slope,
        intercept,
        notes,
        grid,
    )


def _fields(start: bytes) -> _Fields | None:
    """Read the fields; None for other contents."""
    for order in "<>":
        (length,) = struct.unpack_from(order + "i", start)
        if length == 540 and start[4:8] in (b"n+2\0", b"ni2\0"):
            return _nifti_2(start, order)
        if length == 348 and start[344:348] in (b"n+1\0", b"ni1\0"):
            return _nifti_1(start, order)
        if length == 348 and not start[344:348].strip(b"\0 "):
            return _analyze(start, order)
    return None


def _nifti_1(start: bytes, order: str) -> _Fields:
    def read(form: str, at: int) -> tuple:
        return struct.unpack_from(order + form, start, at)

    qform_code, sform_code = read("2h", 252)
    forms = Forms(
        read("4f", 76), qform_code, sform_code, read("6f", 256), read("12f", 280), start[123] & 7
    )
    return _Fields(
        order, read("8h", 40), *read("h", 70), *read("3f", 108), forms, 352, start[345:346] == b"i"
    )


def _nifti_2(start: bytes, order: str) -> _Fields:
    def read(form: str, at: int) -> tuple:
        return struct.unpack_from(order + form, start, at)

    qform_code, sform_code = read("2i", 344)
    forms = Forms(
        read("4d", 104),
        qform_code,
        sform_code,
        read("6d", 352),
        read("12d", 400),
        read("i", 500)[0] & 7,
    )
    offset, slope, intercept = read("q2d", 168)
    return _Fields(
        order,
        read("8q", 16),
        *read("h", 12),
        float(offset),
        slope,
        intercept,
        forms,
        544,
        start[5:6] == b"i",
    )


def _analyze(start: bytes, order: str) -> _Fields:
    """Read Analyze 7.5, which knows no places; the scale of SPM's kind is not part of it."""
    spacing = struct.unpack_from(order + "4f", start, 76)
    (offset,) = struct.unpack_from(order + "f", start, 108)
    dims = struct.unpack_from(order + "8h", start, 40)
    (code,) = struct.unpack_from(order + "h", start, 70)
    forms = Forms(spacing, 0, 0, (0.0,) * 6, (0.0,) * 12, 2)
    return _Fields(order, dims, code, offset, 1.0, 0.0, forms, 0, True)


def _image_file(path: Path, name: str) -> Path:
    """Return the file with the voxels of a `.hdr`."""
    stem = path.name[:-4]
    for ending in (".img", ".img.gz", ".IMG", ".IMG.GZ"):
        if (found := path.with_name(stem + ending)).is_file() and not found.is_symlink():
            return found
    raise DataError(
        "Expected the voxels beside the header, in a .img file of the same name, but found none. "
        "Copy it there.",
        path=name,
    )


def _start(path: Path, name: str) -> tuple[bytes, bool]:
    with open(path, "rb") as file:
        start = file.read(1 << 16)
    zipped = start.startswith(_GZIP)
    if zipped:
        try:
            start = zlib.decompressobj(31).decompress(start, 1 << 12)
        except zlib.error:
            raise DataError(BROKEN_COMPRESSION, path=name) from None
    return start.ljust(544, b"\0"), zipped


def _check_type(code: int, name: str) -> None:
    if code in _COLOUR:
        raise DataError(
            "Expected one grey value per voxel but got colours (RGB). Export grey values.",
            path=name,
        )
    if code not in _TYPES:
        raise DataError(
            f"Expected whole or real numbers but got NIfTI type {code}. Convert the file.",
            path=name,
        )


def _check_dims(dims: tuple[int, ...], name: str) -> None:
    axes = dims[0]
    if not 1 <= axes <= 7:
        raise DataError(f"Expected 3 axes but got {axes}. Repair the header.", path=name)
    used = [d for d in dims[1 : axes + 1]]
    while len(used) > 3 and used[-1] == 1:
        used.pop()
    if len(used) > 3:
        shown = " x ".join(map(str, used))
        raise DataError(
            f"Expected a 3D volume but got {len(used)}D ({shown}). Split it into"
            " volumes (SimpleITK: image[:, :, :, 0]) and give the one that was drawn on.",
            path=name,
        )
    if len(used) < 3:
        raise DataError(
            f"Expected a 3D volume but got {len(used)}D. Give the whole volume.", path=name
        )
