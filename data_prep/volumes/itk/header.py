"""What every checked file header comes down to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.volumes.geometry import Grid

BROKEN_COMPRESSION = (
    "Expected sound compressed data but its checksum is wrong or its end is missing. Copy the file "
    "again."
)
NO_ORIENTATION = "the header states no orientation; axial LPS by the stored axes is assumed."


@dataclass(frozen=True)
class Header:
    """What a checked header says about the voxels.

    Args:
        size: Voxels along (i, j, k).
        dtype: Number type in the file, with its byte order.
        data_file: File that holds the voxels.
        offset: First byte of the voxels in it (after decompression, if `whole_file_gzip`).
        compression: None, `gzip` or `zlib`.
        whole_file_gzip: Whether the compression starts at the file's first byte.
        slope: Factor on the stored numbers.
        intercept: Added after the factor.
        notes: Lines on what was assumed.
        grid: Where the voxels lie, for formats whose geometry SimpleITK does not read for us.
        segment_names: Name of each label that the header names (3D Slicer's .seg.nrrd).
        spacing: Spacing along (i, j, k) in mm as the header states it, to compare with SimpleITK's.
    """

    size: tuple[int, int, int]
    dtype: np.dtype
    data_file: Path
    offset: int
    compression: str | None = None
    whole_file_gzip: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    notes: tuple[str, ...] = ()
    grid: Grid | None = None
    spacing: tuple[float, ...] | None = None
    segment_names: Mapping[int, str] = field(default_factory=dict)


def check_spacing(spacing: tuple[float, ...], name: str) -> None:
    """Raise DataError for a missing (zero), negative or unreal spacing."""
    shown = " x ".join(f"{s:g}" for s in spacing)
    if not all(math.isfinite(s) and 0 < s < 1e4 for s in spacing):
        what = "no spacing" if all(s == 0 for s in spacing) else f"{shown} mm"
        wanted = "a spacing below 10000 mm" if all(s > 0 for s in spacing) else "a positive spacing"
        raise DataError(f"Expected {wanted} but got {what}. Repair the header.", path=name)
