"""Which files of a folder look like slices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from data_prep.volumes.dicom.folder import lies_beside
from data_prep.volumes.dicom.kinds import is_dicom

_SLICE_NAME = re.compile(r"(\.dcm|\.ima|(^|/)\d+\.png)$")  # pictures beside slices have names


def hold_slices(root: Path, files: Iterable[str]) -> bool:
    """Say whether files below `root` are slices, by their ending or DICOM's mark in them."""
    return any(_SLICE_NAME.search(f.lower()) or _is_slice(root, f) for f in files)


def _is_slice(root: Path, file: str) -> bool:
    """Say whether a file is DICOM and not of what exports put beside the slices."""
    try:
        return not lies_beside(file.rpartition("/")[2]) and is_dicom(root / file)
    except OSError:
        return False
