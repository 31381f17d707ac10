"""Which files of a folder are DICOM slices, and which series they make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_prep.errors import DataError
from data_prep.volumes.dicom_folder import lies_beside
from data_prep.volumes.dicom_frames import frame_count
from data_prep.volumes.dicom_header import read_header
from data_prep.volumes.dicom_kinds import is_dicom
from data_prep.volumes.folder_tree import FolderTree

_SLICE_NAME = re.compile(r"(\.dcm|\.ima|(^|/)\d+\.png)$")  # pictures beside slices have names


def hold_slices(root: Path, files: Iterable[str]) -> bool:
    """Say whether files below `root` are slices, by their ending or DICOM's mark in them."""
    return any(_SLICE_NAME.search(f.lower()) or _is_slice(root, f) for f in files)


def multi_frame_files(root: Path, files: Sequence[str]) -> list[str]:
    """Return the DICOM files of a folder if there are several, the first with many frames."""
    files = [file for file in files if not file.lower().endswith(".png")]
    first = next((file for file in files if _is_slice(root, file)), None)
    try:
        if first is None or frame_count(read_header(root / first, first)) < 2:
            return []
    except (DataError, ValueError, OSError):  # the reader of the volume says so
        return []
    found = [file for file in files if _is_slice(root, file)]
    return found if len(found) > 1 else []


def series_volumes(tree: FolderTree) -> dict[str, str]:
    """Return the volume of each series below a folder, by its UID.

    A volume is a folder, with `#UID` if the folder holds several series, or a multi-frame file.
    """
    volumes: dict[str, str] = {}
    for folder in tree.folders:
        found = _series_of(tree.root, tree.listing(folder).files)
        for uid, file in found.items():
            volumes[uid] = file or (folder if len(found) == 1 else f"{folder}#{uid}")
    return volumes


def _series_of(root: Path, files: Iterable[str]) -> dict[str, str]:
    """Return the series in files of one folder: by UID the multi-frame file, else nothing."""
    found = {}
    for file in files:
        try:
            if not is_dicom(root / file):
                continue
            header = read_header(root / file, file)
            several_frames = frame_count(header) > 1
        except (DataError, ValueError, OSError):
            continue  # the reader of that volume says so
        if "Rows" in header:
            found[str(header.get("SeriesInstanceUID", ""))] = file if several_frames else ""
    return found


def _is_slice(root: Path, file: str) -> bool:
    """Say whether a file is DICOM and not of what exports put beside the slices."""
    try:
        return not lies_beside(file.rpartition("/")[2]) and is_dicom(root / file)
    except OSError:
        return False
