"""What a run reads: which volumes, with which masks, of which patients.

Volumes and patients get pseudonyms (`v0001`, `p0001`) in the order of their names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.volumes.find import VolumeIndex


@dataclass(frozen=True)
class Source:
    """A volume of the run.

    Attributes:
        volume_id, patient_id: Pseudonyms.
        volume: Path relative to the image root.
        patient: Patient as the bookmarks (or the folder names) call them.
        mask: Path of the voxel mask relative to the mask root, or None.
        records: Its bookmarks.
        all_known: False if a bookmark of it could not be read: then no slice is known to be empty.
        ignored: Measurements of it that become regions to ignore.
    """

    volume_id: str
    patient_id: str
    volume: str
    patient: str
    mask: str | None
    records: tuple[BookmarkRecord, ...]
    all_known: bool = True
    ignored: tuple[BookmarkRecord, ...] = ()


def list_sources(
    records: Sequence[BookmarkRecord],
    extra_volumes: Iterable[str] = (),
    *,
    masks: Path | None = None,
    patient_pattern: str | None = None,
    incomplete: Collection[str] = (),
    ignored: Sequence[BookmarkRecord] = (),
) -> tuple[list[Source], list[str]]:
    """Sort bookmarks by volume and give pseudonyms.

    Args:
        records: Bookmarks, in any order.
        extra_volumes: Volumes to take although they have no bookmark.
        masks: Folder of voxel masks (or one mask, for one volume).
        patient_pattern: Regular expression; its first group, found in a volume's path, is the
            patient. It overrides the bookmarks' own column.
        incomplete: Volumes with bookmarks that could not be read.
        ignored: Measurements that become regions to ignore, in any order.

    Returns:
        The volumes in the order of their names, and notes for the report.

    Raises:
        DataError: A volume of two patients, or a pattern that does not fit.
    """
    by_volume: dict[str, list[BookmarkRecord]] = defaultdict(list)
    for record in records:
        by_volume[record.volume].append(record)
    regions: dict[str, list[BookmarkRecord]] = defaultdict(list)
    for record in ignored:
        regions[record.volume].append(record)
    for volume in (*regions, *extra_volumes):
        by_volume.setdefault(volume, [])
    names = sorted(by_volume)
    patients, guessed = {}, 0
    for volume in names:
        patients[volume], known = _patient(
            volume, by_volume[volume] + regions[volume], patient_pattern
        )
        guessed += not known
    notes = []
    if guessed and len(names) > 1:
        notes.append(
            f"No patient is named for {guessed} of {len(names)} volumes: each of them is taken as"
            " a patient of its own. Add a patient column, or use --patient-pattern."
        )
    volume_digits = max(4, len(str(len(names))))
    order = {patient: i for i, patient in enumerate(sorted(set(patients.values())), start=1)}
    mask_of = _mask_finder(masks, len(names))
    sources = []
    for number, volume in enumerate(names, start=1):
        sources.append(
            Source(
                volume_id=f"v{number:0{volume_digits}d}",
                patient_id=f"p{order[patients[volume]]:0{max(4, len(str(len(order))))}d}",
                volume=volume,
                patient=patients[volume],
                mask=mask_of(volume),
                records=tuple(sorted(by_volume[volume], key=_place)),
                all_known=volume not in incomplete,
                ignored=tuple(sorted(regions[volume], key=_place)),
            )
        )
    bare = sum(source.mask is None for source in sources)
    if masks is not None and bare:
        notes.append(
            f"No mask was found for {bare} of {len(sources)} volumes: no true lesions are written"
            " for them. Masks are called as their volumes are."
        )
    return sources, notes


def _place(record: BookmarkRecord) -> tuple[str, int]:
    return record.file, record.row or 0


def _mask_finder(masks: Path | None, n_volumes: int) -> Callable[[str], str | None]:
    """Return what finds the mask of a volume, relative to the folder of the masks."""
    if masks is None:
        return lambda volume: None
    if not masks.is_file():
        return VolumeIndex(masks).mask_of
    if n_volumes > 1:
        raise DataError(
            f"Expected a folder of masks for {n_volumes} volumes but got one file. Name the"
            " folder, with one mask per volume.",
            path=masks.name,
        )
    return lambda volume: masks.name


def _patient(
    volume: str, records: Sequence[BookmarkRecord], pattern: str | None
) -> tuple[str, bool]:
    """Return the patient of a volume, and whether it is stated anywhere."""
    if pattern is not None:
        match = re.search(pattern, volume)
        if match is None or not match.groups() or not match.group(1):
            raise DataError(
                f"Expected a path that fits the patient pattern '{pattern}' (with one group) but it"
                " does not. Correct --patient-pattern.",
                path=volume,
            )
        return match.group(1), True
    named = {record.patient for record in records if record.patient}
    if len(named) > 1:
        raise DataError(
            f"Expected one patient per volume but got {len(named)} in the rows of this one."
            " Correct the patient column.",
            path=volume,
        )
    return (named.pop(), True) if named else (volume, False)
