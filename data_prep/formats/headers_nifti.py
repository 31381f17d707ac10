"""The header of a NIfTI-1 or NIfTI-2 file, checked field by field."""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.formats.headers import BROKEN_COMPRESSION, Header, check_spacing

# NIfTI's own codes of number types.
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
# Offsets of dim, datatype, pixdim, vox_offset, scl_slope, scl_inter, qform_code, sform_code.
_LAYOUT = {
    348: ("8h", 40, 70, "8f", 76, "f", 108, "ff", 112, "hh", 252),
    540: ("8q", 16, 12, "8d", 104, "q", 168, "dd", 176, "ii", 344),
}
_MAX_OFFSET = 1 << 24


def nifti(path: Path, name: str) -> Header:
    """Read and check the header of ``.nii`` and ``.nii.gz``."""
    start, zipped = _start(path, name)
    order, length = _byte_order(start)
    if order is None:
        raise DataError(
            "Expected a NIfTI file but got other contents. Check the format and the extension.",
            path=name,
        )
    if zipped != path.name.lower().endswith(".gz"):
        wanted, got = (".nii.gz", ".nii") if zipped else (".nii", ".nii.gz")
        raise DataError(
            f"Expected the extension {wanted} for these contents but got {got}. Rename the file.",
            path=name,
        )
    dims_f, dims_at, type_at, pix_f, pix_at, off_f, off_at, scl_f, scl_at, form_f, form_at = (
        _LAYOUT[length]
    )
    dims = struct.unpack_from(order + dims_f, start, dims_at)
    (code,) = struct.unpack_from(order + "h", start, type_at)
    spacing = struct.unpack_from(order + pix_f, start, pix_at)[1:4]
    (offset,) = struct.unpack_from(order + off_f, start, off_at)
    slope, intercept = struct.unpack_from(order + scl_f, start, scl_at)
    forms = struct.unpack_from(order + form_f, start, form_at)

    _check_dims(dims, name)
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
    check_spacing(spacing, name)
    if not math.isfinite(offset) or not length + 4 <= offset <= _MAX_OFFSET:
        raise DataError(
            f"Expected voxels from byte {length + 4} on but got {offset:g}. Repair the header.",
            path=name,
        )
    if not any(forms):
        warnings.warn(
            f"{name}: the header states no orientation; axial LPS by the stored axes is assumed",
            stacklevel=2,
        )
    # A factor of 0 or NaN means "not scaled".
    if slope == 0 or not math.isfinite(slope):
        slope, intercept = 1.0, 0.0
    if not math.isfinite(intercept):
        raise DataError(
            "Expected a finite scl_inter but got another. Repair the header.", path=name
        )
    return Header(
        tuple(int(d) for d in dims[1:4]),
        np.dtype(order + _TYPES[code]),
        path,
        int(offset),
        "gzip" if zipped else None,
        zipped,
        slope,
        intercept,
    )


def _start(path: Path, name: str) -> tuple[bytes, bool]:
    with open(path, "rb") as file:
        start = file.read(1 << 16)
    zipped = start.startswith(b"\x1f\x8b")
    if zipped:
        try:
            start = zlib.decompressobj(31).decompress(start, 1 << 12)
        except zlib.error:
            raise DataError(BROKEN_COMPRESSION, path=name) from None
    if len(start) < 544:
        start = start + bytes(544 - len(start)) if len(start) >= 348 else b""
    return start, zipped


def _byte_order(start: bytes) -> tuple[str | None, int]:
    for order in "<>":
        if not start:
            break
        (length,) = struct.unpack_from(order + "i", start, 0)
        if length == 348 and start[344:348] == b"n+1\0":
            return order, length
        if length == 540 and start[4:8] == b"n+2\0":
            return order, length
    return None, 0


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
            f"Expected a 3D volume but got {len(used)}D ({shown}). Split it into volumes.",
            path=name,
        )
    if len(used) < 3:
        raise DataError(
            f"Expected a 3D volume but got {len(used)}D. Give the whole volume.", path=name
        )
