"""What a run reads: which volumes, with which masks, of which patients.

Volumes and patients get pseudonyms (`v0001`, `p0001`) in the order of their names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.bookmarks.formats.dicom_labels import DicomMasks
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset.splits.patients import group as group_patients
from data_prep.errors import DataError
from data_prep.volumes.dicom.patient_key import header_of_volume, key_of_header
from data_prep.volumes.search.archives import is_called_archive
from data_prep.volumes.search.volume_index import VolumeIndex


@dataclass(frozen=True)
class Source:
    """A volume of the run.

    Attributes:
        volume_id, patient_id: Pseudonyms.
        volume: Path relative to the image root.
        patient: Patient as the bookmarks (or the folder names) call them; else the first volume of
            that patient.
        mask: Path of the voxel mask relative to the mask root, or None.
        records: Its bookmarks.
        all_known: False if a bookmark of it could not be read: then no slice is known to be empty.
        ignored: Measurements of it that become regions to ignore.
        boxes: 3D boxes of all its lesions where they are known as such: x1, y1, z1, x2, y2, z2,
            inclusive, z being slice numbers; such a volume is written whole.
        rejected: Places of it where a reader saw that there is no lesion.
        complete: A reader has looked at all of it: slices without a mark hold no lesion.
    """

    volume_id: str
    patient_id: str
    volume: str
    patient: str
    mask: str | None
    records: tuple[BookmarkRecord, ...]
    all_known: bool = True
    ignored: tuple[BookmarkRecord, ...] = ()
    boxes: tuple[tuple[float, ...], ...] | None = None
    rejected: tuple[BookmarkRecord, ...] = ()
    complete: bool = False

    @property
    def marks(self) -> tuple[BookmarkRecord, ...]:
        """All that was marked in it."""
        return (*self.records, *self.ignored, *self.rejected)


def list_sources(
    records: Sequence[BookmarkRecord],
    extra_volumes: Iterable[str] = (),
    *,
    masks: Path | None = None,
    patient_pattern: str | None = None,
    incomplete: Collection[str] = (),
    ignored: Sequence[BookmarkRecord] = (),
    rejected: Sequence[BookmarkRecord] = (),
    complete: Collection[str] = (),
    root: Path | None = None,
    labelled: Mapping[str, tuple[str, tuple]] | None = None,
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
        rejected: Places that a reader has rejected, in any order.
        complete: Volumes that a reader has looked at as a whole.
        root: Folder of the volumes, to read the PatientID of DICOM series; None to do without.
        labelled: Patient and boxes of volumes of which all lesions are known as boxes.

    Returns:
        The volumes in the order of their names, and notes for the report.

    Raises:
        DataError: A volume of two patients, or a pattern that does not fit.
    """
    by_volume = _by_volume(records)
    regions, refused = _by_volume(ignored), _by_volume(rejected)
    labelled = labelled or {}
    for volume in (*regions, *refused, *complete, *extra_volumes, *labelled):
        by_volume.setdefault(volume, [])
    names = sorted(by_volume)
    marks = {v: by_volume[v] + regions[v] + refused[v] for v in names}
    keys, series, studies = {}, {}, {}
    for volume in names if root is not None else ():
        if (header := header_of_volume(root, volume)) is not None:
            keys[volume] = key_of_header(header)
            series[volume] = str(header.get("SeriesInstanceUID", ""))
            studies[volume] = str(header.get("StudyInstanceUID", "") or "")
    known = {volume: patient for volume, (patient, _) in labelled.items()}
    grouped = group_patients(marks, keys, patient_pattern, known, studies)
    patients, notes = grouped.of_volume, grouped.notes
    volume_digits = max(4, len(str(len(names))))
    order = {patient: i for i, patient in enumerate(sorted(set(patients.values())), start=1)}
    index = None
    if masks is not None and masks.is_dir():
        # A volume is never its own mask.
        among = root is not None and masks.resolve() == root.resolve()
        index = VolumeIndex(masks, [] if root is None else [root], among_volumes=among)
    objects = None if index is None else DicomMasks(index)
    mask_of = _mask_finder(masks, index, objects, series, len(names))
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
                boxes=labelled[volume][1] if volume in labelled else None,
                rejected=tuple(sorted(refused[volume], key=_place)),
                complete=volume in complete,
            )
        )
    bare = sum(source.mask is None for source in sources)
    if index is not None and sources:
        all_masks = {*index.masks, *objects.files}
        notes += _unused_masks(index, all_masks, {source.mask for source in sources})
    if masks is not None and bare:
        notes.append(
            f"No mask was found for {bare} of {len(sources)} volumes: no true lesions are written"
            " for them. Masks are called as their volumes are."
        )
    return sources, notes


def _by_volume(records: Iterable[BookmarkRecord]) -> dict[str, list[BookmarkRecord]]:
    by_volume: dict[str, list[BookmarkRecord]] = defaultdict(list)
    for record in records:
        by_volume[record.volume].append(record)
    return by_volume


def _place(record: BookmarkRecord) -> tuple[str, int]:
    return record.file, record.row or 0


def _unused_masks(index: VolumeIndex, masks: set[str], used: set[str | None]) -> list[str]:
    """Return a note on masks of no volume of the run.

    Raises:
        DataError: If none is used: then the names do not fit, and no lesion would be known.
    """
    folder, archives = index.root, sum(map(is_called_archive, index.files))
    if used == {None} and archives:
        raise DataError(
            f"Expected masks that fit a volume but got {archives} archives. Unpack them first.",
            path=folder.name,
        )
    if used == {None}:
        raise DataError(
            "Expected masks that are called as the volumes are, e.g. case7_mask.nii.gz for"
            " case7.nii.gz, or DICOM objects of their series, but got none that fits a volume."
            " Rename them or correct --masks.",
            path=folder.name,
        )
    unused = len(masks - used)
    notes = [f"{unused} masks belong to no volume of this run and were not used."] * (unused > 0)
    notes += [f"{archives} archives lie among the masks and were not read."] * (archives > 0)
    return notes


def _mask_finder(
    masks: Path | None,
    index: VolumeIndex | None,
    objects: DicomMasks | None,
    series: Mapping[str, str],
    n_volumes: int,
) -> Callable[[str], str | None]:
    """Return what finds the mask of a volume, relative to the folder of the masks."""
    if masks is None:
        return lambda volume: None
    if index is not None:
        return lambda volume: index.mask_of(volume) or objects.mask_of(volume, series.get(volume))
    if n_volumes > 1:
        raise DataError(
            f"Expected a folder of masks for {n_volumes} volumes but got one file. Name the"
            " folder, with one mask per volume.",
            path=masks.name,
        )
    return lambda volume: masks.name
