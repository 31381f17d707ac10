"""Pixels counted from 1 where 0 was meant: seen only when a whole file is looked at."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.readers.record import BookmarkRecord


class OneBasedWarning(UserWarning):
    """A whole bookmark file fits its volumes better when it is read as 1-based."""


def fits_better_shifted(
    records: Sequence[BookmarkRecord], stored_sizes: Mapping[str, tuple[int, int, int]]
) -> bool:
    """Say whether records in 0-based pixels look as if they were 1-based.

    True if no coordinate and no slice is below 1, some lie outside their volume, and fewer would
    after a shift by -1.

    Args:
        records: Records of one file.
        stored_sizes: Columns, rows and slices of each volume as stored; volumes that could not
            be read may be missing.
    """
    used = [
        r
        for r in records
        if r.frame == "pixel" and r.slice_index is not None and r.volume in stored_sizes
    ]
    if not used:
        return False
    indices = [np.column_stack([r.points, np.full(4, float(r.slice_index))]) for r in used]
    if min(float(i.min()) for i in indices) < 1:
        return False
    sizes = [np.array(stored_sizes[r.volume], dtype=float) for r in used]
    outside = [
        sum(bool((i - shift > s - 0.5).any()) for i, s in zip(indices, sizes, strict=True))
        for shift in (0, 1)
    ]
    return outside[1] < outside[0]


def warn_if_one_based(
    records: Sequence[BookmarkRecord], stored_sizes: Mapping[str, tuple[int, int, int]]
) -> bool:
    """Warn, once per file, of records that look 1-based; return whether any file does."""
    by_file: dict[str, list[BookmarkRecord]] = {}
    for record in records:
        by_file.setdefault(record.file, []).append(record)
    found = False
    for file, group in by_file.items():
        if fits_better_shifted(group, stored_sizes):
            found = True
            warnings.warn(
                f"{file}: the whole file fits its volumes better as 1-based pixels. Read it with "
                "origin 1.",
                OneBasedWarning,
                stacklevel=2,
            )
    return found
