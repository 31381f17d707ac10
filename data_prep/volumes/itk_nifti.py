"""The header of a NIfTI-1 file, checked field by field."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.volumes.itk_header import BROKEN_COMPRESSION, NO_ORIENTATION, Header, check_spacing

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
_MAX_OFFSET = 1 << 24


def nifti(path: Path, name: str) -> Header:
    """Read and check the header of `.nii` and `.nii.gz`."""
    start, zipped = _start(path, name)
    order = next((o for o in "<>" if struct.unpack_from(o + "i", start)[0] == 348), None)
    if order is None or start[344:348] != b"n+1\0":
        what = "NIfTI-2" if start[4:8] == b"n+2\0" else "other contents"
        raise DataError(
            f"Expected a NIfTI-1 file but got {what}. Check the format and the extension.",
            path=name,
        )
    if zipped != path.name.lower().endswith(".gz"):
        wanted, got = (".nii.gz", ".nii") if zipped else (".nii", ".nii.gz")
        raise DataError(
            f"Expected the extension {wanted} for these contents but got {got}. Rename the file.",
            path=name,
        )
    dims = struct.unpack_from(order + "8h", start, 40)
    (code,) = struct.unpack_from(order + "h", start, 70)
    spacing = struct.unpack_from(order + "3f", start, 80)
    offset, slope, intercept = struct.unpack_from(order + "3f", start, 108)
    forms = struct.unpack_from(order + "2h", start, 252)  # qform and sform code

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
    if not math.isfinite(offset) or not 352 <= offset <= _MAX_OFFSET:
        raise DataError(
            f"Expected voxels from a byte between 352 and {_MAX_OFFSET} on but got {offset:.9g}. "
            "Repair the header.",
            path=name,
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
        () if any(forms) else (f"{name}: {NO_ORIENTATION}",),
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
    return start.ljust(348, b"\0"), zipped


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
