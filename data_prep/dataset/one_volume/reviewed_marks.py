"""Bookmarks of a volume from several files: what a later reader corrects, and what is in dispute.

Two marks on a slice are of one lesion if their centres are nearer than half the longer long axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby

import numpy as np

from data_prep.bookmarks.formats.reported_lengths import length_note
from data_prep.bookmarks.locate import PlacedBookmark
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset.one_volume.volume_lesions import place_all
from data_prep.errors import DataError
from data_prep.volumes.volume import Volume

# End points in pixels that are no farther apart are the same.
SAME_PX = 0.1


@dataclass
class MergedMarks:
    """What is left of the marks of a volume.

    Attributes:
        placed: Bookmarks, by slice.
        rejected: Places of rejected findings that are near no bookmark.
        disputed: Bookmarks that a later reader has rejected: to be ignored.
        refused: An error for each mark that cannot be placed.
        conflicts: A line for each bookmark that a later file changes or rejects, that lies on the
            place of another one of its file, or whose points are not as long as its file says.
    """

    placed: list[PlacedBookmark] = field(default_factory=list)
    rejected: list[PlacedBookmark] = field(default_factory=list)
    disputed: list[BookmarkRecord] = field(default_factory=list)
    refused: list[DataError] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def merge(
    records: Sequence[BookmarkRecord], rejected: Sequence[BookmarkRecord], volume: Volume
) -> MergedMarks:
    """Place marks in their volume and let later files correct earlier ones.

    A bookmark of a later file replaces one of an earlier file of the same lesion. A bookmark that a
    later file rejects becomes a region to ignore, as two readers disagree on it. Both are listed.
    """
    merged, spacing = MergedMarks(), volume.spacing_mm[:2]
    kept: list[PlacedBookmark] = []
    for layer in sorted({record.layer for record in (*records, *rejected)}):
        of_layer = [record for record in records if record.layer == layer]
        added, refused = place_all(of_layer, volume)
        denied, more = place_all([r for r in rejected if r.layer == layer], volume)
        merged.refused += refused + more
        merged.conflicts += [
            f"{_where(two)}: lies on the place of {_where(one)}. If both are of one lesion, remove"
            " one of them."
            for _, marks in groupby(added, key=lambda mark: mark.slice_index)
            for one, two in combinations(marks, 2)
            if are_one_lesion(one, two, spacing)
        ]
        for mark in added:
            merged.conflicts += filter(None, [length_note(mark.record, volume.grid)])
            earlier = [old for old in kept if are_one_lesion(old, mark, spacing)]
            kept = [old for old in kept if old not in earlier]
            merged.conflicts += filter(None, (_change(old, mark, spacing) for old in earlier))
        for mark in denied:
            earlier = [old for old in kept if are_one_lesion(old, mark, spacing)]
            kept = [old for old in kept if old not in earlier]
            merged.disputed += [_to_ignore(old.record) for old in earlier]
            merged.conflicts += [
                f"{_where(mark)}: rejects the bookmark of {_where(old)}; the place is ignored."
                for old in earlier
            ]
            if not earlier:
                merged.rejected.append(mark)
        kept += added
    merged.placed = sorted(
        kept, key=lambda mark: (mark.slice_index, mark.bookmark.points().ravel().tolist())
    )
    merged.rejected = [
        mark
        for mark in merged.rejected
        if not any(are_one_lesion(mark, other, spacing) for other in kept)
    ]
    return merged


def are_one_lesion(one: PlacedBookmark, other: PlacedBookmark, spacing_xy: Sequence[float]) -> bool:
    """Say whether two marks are of one lesion; spacing in mm."""
    if one.slice_index != other.slice_index:
        return False
    centres = [mark.bookmark.points().mean(axis=0) for mark in (one, other)]
    away = np.linalg.norm((centres[0] - centres[1]) * np.asarray(spacing_xy))
    longest = max(mark.bookmark.long_length(spacing_xy) for mark in (one, other))
    return bool(away < longest / 2)


def _change(old: PlacedBookmark, new: PlacedBookmark, spacing_xy: Sequence[float]) -> str | None:
    """Say how a bookmark was changed; None if it was not."""
    ends = [np.array(sorted(map(tuple, mark.bookmark.points().tolist()))) for mark in (old, new)]
    if np.abs(ends[0] - ends[1]).max() <= SAME_PX:
        return None
    sizes = [
        f"{mark.bookmark.long_length(spacing_xy):.1f} x"
        f" {mark.bookmark.short_length(spacing_xy):.1f} mm"
        for mark in (old, new)
    ]
    return f"{_where(new)}: {sizes[1]} replaces {sizes[0]} of {_where(old)}."


def _to_ignore(record: BookmarkRecord) -> BookmarkRecord:
    shape = "ellipse" if record.shape == "cross" else record.shape
    return replace(record, shape=shape, drawn="disputed")


def _where(mark: PlacedBookmark) -> str:
    return f"{mark.record.file}, row {mark.record.row}"
