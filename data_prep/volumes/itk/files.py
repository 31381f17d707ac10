"""NIfTI, NRRD and MetaImage files: headers and voxels checked here.

SimpleITK's readers fill what a truncated or damaged NIfTI or MetaImage file lacks with zeros and
put 1 mm where a spacing is missing. So the header is checked before SimpleITK sees it, and the
voxels are read here, where their number must be right and compressed data must pass its checksum;
compressed data is unpacked in a process of its own (`decode_server`).
The geometry of NRRD and MetaImage is SimpleITK's, that of NIfTI is read here (`nifti_geometry`).
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from data_prep.errors import DataError
from data_prep.limits import check_file
from data_prep.limits import check_size as check_bytes
from data_prep.volumes import decode_server
from data_prep.volumes.geometry import Grid
from data_prep.volumes.itk.header import BROKEN_COMPRESSION, Header
from data_prep.volumes.itk.nifti import nifti
from data_prep.volumes.itk.nrrd_metaimage import metaimage, nrrd
from data_prep.volumes.search.file_names import suffix_of
from data_prep.volumes.stored import Stored, check_size

sitk.ProcessObject.SetGlobalWarningDisplay(False)

_CHUNK = 1 << 18

_TEXT_HEADERS: dict[str, tuple[str, Callable[[Path, str], Header]]] = {
    ".nrrd": ("NrrdImageIO", nrrd),
    ".nhdr": ("NrrdImageIO", nrrd),
    ".mha": ("MetaImageIO", metaimage),
    ".mhd": ("MetaImageIO", metaimage),
}


def matches(path: Path) -> bool:
    """Say whether the file's name is one of these formats'."""
    return suffix_of(path.name) != ""


def read(path: Path, name: str, nifti_form: str = "auto") -> Stored:
    """Read a NIfTI, Analyze, NRRD or MetaImage file.

    Args:
        path: The file.
        name: How messages call it.
        nifti_form: See `data_prep.volumes.itk.nifti_geometry.nifti_grid`.
    """
    header = _checked_header(path, name, nifti_form)
    grid = header.grid
    if grid is None:
        grid = _simpleitk_grid(path, name, _TEXT_HEADERS[suffix_of(path.name)][0], header)
    array = _stored_voxels(path, header, name)
    if (header.slope, header.intercept) != (1.0, 0.0):
        array = array.astype(np.float32)
        array *= np.float32(header.slope)
        array += np.float32(header.intercept)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return Stored(array, grid, notes=header.notes, segment_names=header.segment_names)


def packed_voxels(path: Path, name: str) -> np.ndarray:
    """Return the compressed voxels `(k, j, i)` of a file as stored; called by `decode_child`."""
    return _voxels(_checked_header(path, name, None), name)


def _checked_header(path: Path, name: str, nifti_form: str | None) -> Header:
    """Read and check a header; of NIfTI with its grid, unless `nifti_form` is None."""
    suffix = suffix_of(path.name)
    if suffix in _TEXT_HEADERS:
        header = _TEXT_HEADERS[suffix][1](path, name)
    else:
        header = nifti(path, name, nifti_form)
    check_size(header.size, name)
    check_file(header.data_file, name)
    check_bytes(_byte_count(header), name, "voxels")
    return header


def _stored_voxels(path: Path, header: Header, name: str) -> np.ndarray:
    """Return the voxels; compressed ones are unpacked by a process of their own."""
    if not header.compression:
        return _voxels(header, name)
    wanted = _byte_count(header)
    return decode_server.decode([(path, name)], "packed voxels", wanted)[0]


def _byte_count(header: Header) -> int:
    return math.prod(header.size) * header.dtype.itemsize


def _simpleitk_grid(path: Path, name: str, image_io: str, header: Header) -> Grid:
    """Return the grid that SimpleITK reads, once it is that of the voxels read here.

    Raises:
        DataError: SimpleITK refuses the header, or understands it otherwise than we do.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        _stored_voxels(path, header, name)  # if the file is damaged, that is the reason
        raise DataError(
            "Expected a right-angled, complete geometry but SimpleITK refuses the header. "
            "Repair it or resample the volume.",
            path=name,
        ) from None
    if reader.GetDimension() != 3 or tuple(reader.GetSize()) != header.size:
        raise DataError(
            f"Expected 3 axes of {header.size} voxels but SimpleITK reads {reader.GetSize()}. "
            "Repair the header.",
            path=name,
        )
    stated, understood = (
        " x ".join(f"{s:.6g}" for s in spacing) for spacing in (header.spacing, reader.GetSpacing())
    )
    if not np.allclose(header.spacing, reader.GetSpacing(), rtol=1e-4, atol=0):
        raise DataError(
            f"Expected one spacing but the header states {stated} mm and SimpleITK reads "
            f"{understood} mm. State it once, or save the volume with SimpleITK or 3D Slicer.",
            path=name,
        )
    grid = Grid(header.size, reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())
    grid.check(name)
    return grid


def _voxels(header: Header, name: str) -> np.ndarray:
    count, wanted = math.prod(header.size), _byte_count(header)
    with open(header.data_file, "rb") as file:
        if header.compression:
            file.seek(0 if header.whole_file_gzip else header.offset)
            skip = header.offset if header.whole_file_gzip else 0
            data = _inflate(file, skip + wanted, header.compression, name)[skip:]
        else:
            # Checked before memory is taken: a broken header may claim any size.
            present = max(0, os.fstat(file.fileno()).st_size - header.offset)
            data = bytearray(min(wanted, present))
            file.seek(header.offset)
            file.readinto(data)
    if len(data) < wanted:
        raise DataError(
            f"Expected {wanted} bytes of voxels but got {len(data)}: the file is cut off. Copy it "
            "again.",
            path=name,
        )
    return np.frombuffer(data, dtype=header.dtype, count=count).reshape(header.size[::-1])


def _inflate(file, limit: int, compression: str, name: str) -> memoryview:
    """Decompress to the end, check the checksum, keep at most `limit` bytes.

    What comes after `limit` is decompressed too, for the checksum, but at most as much again:
    a small file must not keep the machine busy for hours.
    """
    bits = 31 if compression == "gzip" else 15
    out, size, engine = bytearray(), 0, zlib.decompressobj(bits)
    broken = DataError(BROKEN_COMPRESSION, path=name)
    pending = file.read(_CHUNK)
    while True:
        try:
            piece = engine.decompress(pending, _CHUNK)
        except zlib.error:
            raise broken from None
        size += len(piece)
        out += piece[: max(0, limit - len(out))]
        if size > 2 * limit + _CHUNK:
            raise DataError(
                f"Expected {limit} bytes of data but got far more. Repair the header.", path=name
            )
        if engine.eof:
            rest = engine.unused_data or file.read(_CHUNK)
            if compression != "gzip" or not rest.startswith(b"\x1f\x8b"):
                return memoryview(out)
            engine, pending = zlib.decompressobj(bits), rest  # the next member of the file
            continue
        pending = engine.unconsumed_tail
        if not pending:
            pending = file.read(_CHUNK)
            if not pending and not piece:
                raise broken
