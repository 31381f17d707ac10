"""The choice of the reader that understands a path."""

from __future__ import annotations

import os
from pathlib import Path

from data_prep.errors import DataError
from data_prep.limits import check_file
from data_prep.volumes import deeplesion_png
from data_prep.volumes.dicom import files as dicom_files
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.itk import files as itk_files
from data_prep.volumes.read_options import ReadOptions
from data_prep.volumes.stored import Stored, only_data_errors


def read_stored(path: Path, name: str, options: ReadOptions | None = None) -> Stored:
    """Read `path` with the reader that its kind asks for.

    Args:
        path: File or folder.
        name: How messages call it.
        options: How to read it.

    Raises:
        DataError: Whatever goes wrong.
    """
    options = options or ReadOptions()
    series_uid = options.series_uid
    with only_data_errors(name):
        if series_uid is not None and path.exists() and not path.is_dir():
            raise DataError(
                "Expected a DICOM folder before '#' but got a file. Remove '#' and what follows.",
                path=name,
            )
        if not path.exists():
            raise DataError(
                "Expected a volume but found nothing at this path. Correct the path.", path=name
            )
        check_file(path, name)
        if path.is_dir():
            path = slice_folder(path)
            entries = _entries(path)
            for entry in entries:
                check_file(path / entry, f"{name}/{entry}")
            if not entries:
                raise DataError(
                    "Expected a folder with slices but got an empty folder. Export the series "
                    "again.",
                    path=name,
                )
            block = deeplesion_png.block_of(series_uid)
            slices = (block or series_uid is None) and deeplesion_png.matches(entries)
            if slices and not _hold_dicom(path):
                _check_no_filter(options, name)
                return deeplesion_png.read(path, name, options.spacing_mm, block)
            return dicom_files.read_folder(path, name, options)
        if path.suffix.lower() == ".img" and path.with_suffix(".hdr").is_file():
            path = path.with_suffix(".hdr")  # the voxels of this header
        if itk_files.matches(path):
            _check_no_filter(options, name)
            return itk_files.read(path, name, options.nifti_form)
        return dicom_files.read_file(path, name, options)


def _check_no_filter(options: ReadOptions, name: str) -> None:
    """Refuse to choose among DICOM series where there are none."""
    if options.choice.filters:
        raise DataError(
            f"Expected DICOM for {options.choice} but got another format, which does not say so."
            " Leave the option out, or move the file elsewhere.",
            path=name,
        )


def slice_folder(folder: Path) -> Path:
    """Return the folder of the slices: archives put study and series into folders of their own."""
    entries = _entries(folder)
    while len(entries) == 1 and _is_own_folder(folder / entries[0]):
        folder = folder / entries[0]
        entries = _entries(folder)
    return folder


def _entries(folder: Path) -> list[str]:
    return sorted(e for e in os.listdir(folder) if not e.startswith("."))


def _hold_dicom(folder: Path) -> bool:
    """Say whether a folder holds a DICOM file, beside which PNG files are pictures."""
    paths = (folder / entry for entry in _entries(folder))
    return any(path.is_file() and is_dicom(path) for path in paths)


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
