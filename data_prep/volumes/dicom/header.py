"""The header of one DICOM file, parsed without echoing what it holds."""

from __future__ import annotations

import warnings
import zlib
from io import BufferedReader, FileIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from data_prep.errors import DataError
from data_prep.limits import max_bytes
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.stored import only_data_errors


class _BoundedFile(BufferedReader):
    """A file for pydicom, which reads to the end only what it then inflates without a limit.

    So the deflated part is measured where pydicom finds it, whatever lengths the file states.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes; all that is left only if it inflates to no more than the limit."""
        data = super().read(size)
        if size is None or size < 0:
            _check_inflated(data)
        return data


def read_header(path: Path, name: str, *, with_pixels: bool = False) -> Dataset:
    """Parse a DICOM file without echoing what it holds, be it in errors or warnings."""
    with warnings.catch_warnings(), only_data_errors(name):
        # pydicom's warnings quote values of the file.
        warnings.simplefilter("ignore")
        force = is_dicom(path)
        try:
            with _BoundedFile(FileIO(path)) as file:
                data = pydicom.dcmread(file, stop_before_pixels=not with_pixels, force=force)
        except DataError as error:
            raise DataError(error.message, path=name) from None
        if "TransferSyntaxUID" not in data.file_meta:  # no preamble: it is told by how it was read
            implicit, little = data.original_encoding
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            data.file_meta.TransferSyntaxUID = syntax if little else ExplicitVRBigEndian
        return data


def _check_inflated(content: bytes) -> None:
    """Raise DataError if deflated data would fill the memory."""
    limit = max_bytes() >> 3
    engine, size = zlib.decompressobj(-15), 0
    while content and not engine.eof:
        size += len(engine.decompress(content, 1 << 22))
        if size > limit:
            raise DataError(
                f"Expected at most {limit} bytes of deflated data but got more. Save the file"
                " without deflating, or raise the limit with MMGLAN_MAX_GIB in the environment."
            )
        content = engine.unconsumed_tail
