"""The header of one DICOM file, parsed without echoing what it holds."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from data_prep.errors import DataError
from data_prep.volumes.dicom_kinds import is_dicom
from data_prep.volumes.stored import MAX_VOXELS, only_data_errors

# Transfer syntax "Deflated Explicit VR Little Endian".
_DEFLATED = b"1.2.840.10008.1.2.1.99"


def read_header(path: Path, name: str, *, with_pixels: bool = False) -> Dataset:
    """Parse a DICOM file without echoing what it holds, be it in errors or warnings."""
    with warnings.catch_warnings(), only_data_errors(name):
        # pydicom's warnings quote values of the file.
        warnings.simplefilter("ignore")
        _check_deflated(path, name)
        data = pydicom.dcmread(path, stop_before_pixels=not with_pixels, force=is_dicom(path))
        if "TransferSyntaxUID" not in data.file_meta:  # no preamble: it is told by how it was read
            implicit, little = data.original_encoding
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            data.file_meta.TransferSyntaxUID = syntax if little else ExplicitVRBigEndian
        return data


def _check_deflated(path: Path, name: str) -> None:
    """Refuse a deflated file that would fill the memory; pydicom inflates without a limit."""
    with open(path, "rb") as file:
        start = file.read(1024)
        if _DEFLATED not in start:
            return
        # The deflated part follows the file's meta information, whose length stands first.
        file.seek(144 + int.from_bytes(start[140:144], "little"))
        engine, size = zlib.decompressobj(-15), 0
        pending = file.read(1 << 20)
        while pending and not engine.eof:
            size += len(engine.decompress(pending, 1 << 24))
            if size > MAX_VOXELS:
                raise DataError(
                    f"Expected at most {MAX_VOXELS} bytes of deflated data but got more. Save the "
                    "file without deflating.",
                    path=name,
                )
            pending = engine.unconsumed_tail or file.read(1 << 20)
