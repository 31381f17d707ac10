"""Index base: pixels counted from 1 where 0 was meant, seen only when a whole file is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_prep.bookmarks.record import BookmarkRecord


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
    outside = [0, 0]
    for record in used:
        size = stored_sizes[record.volume]
        if min(record.points.min(), record.slice_index) < 1:
            return False
        highest = (*record.points.max(axis=0).tolist(), record.slice_index)
        for shift in (0, 1):
            outside[shift] += any(h - shift > n - 0.5 for h, n in zip(highest, size, strict=True))
    return outside[1] < outside[0]


def one_based_notes(
    records: Sequence[BookmarkRecord], stored_sizes: Mapping[str, tuple[int, int, int]]
) -> list[str]:
    """Return a note for each file whose records look 1-based; see `fits_better_shifted`."""
    by_file: dict[str, list[BookmarkRecord]] = {}
    for record in records:
        by_file.setdefault(record.file, []).append(record)
    return [
        f"{file}: the whole file fits its volumes better as 1-based pixels. Read it with"
        " --one-based."
        for file, group in by_file.items()
        if fits_better_shifted(group, stored_sizes)
    ]
