"""Which volumes are of one patient: as stated, else by DICOM's PatientID, else one each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.volumes.file_names import strip_suffix

# `<case>_lesion_<number>`; DeepLesion's cases start with the patient's six digits.
_CROP = re.compile(r"^(?:(\d{6})(?:_\d{2}){2}_[\d-]+|(.+))_lesion_\d+(?:_0000)?$", re.IGNORECASE)


@dataclass
class Patients:
    """The patients of a run.

    Attributes:
        of_volume: Patient of each volume: as stated, or the first volume of the patient.
        notes: Lines for the report, without names.
    """

    of_volume: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def group(
    records: Mapping[str, Sequence[BookmarkRecord]],
    keys: Mapping[str, str | None],
    pattern: str | None = None,
    known: Mapping[str, str] | None = None,
) -> Patients:
    """Group volumes by patient.

    Args:
        records: Bookmarks of each volume; maybe none.
        keys: Keyed hash of each DICOM volume's PatientID, where known.
        pattern: Regular expression; its first group, found in a volume's path, is the patient. It
            overrides the bookmarks' own column.
        known: Patient of volumes beside what their bookmarks say.

    Raises:
        DataError: A volume of two patients, or a pattern that does not fit.
    """
    names, known = sorted(records), known or {}
    stated = {v: _stated(v, records[v], pattern, known.get(v)) for v in names}
    key_of = {volume: _key(records[volume], keys.get(volume)) for volume in names}
    named: dict[str, set[str]] = defaultdict(set)
    members: dict[str, list[str]] = defaultdict(list)
    for volume in names:
        if (key := key_of[volume]) is not None:
            members[key].append(volume)
            named[key] |= {stated[volume]} - {None}
    found = Patients()
    for volume in names:
        patient, key = stated[volume], key_of[volume]
        if patient is None and key is not None:
            patient = min(named[key]) if named[key] else members[key][0]
        found.of_volume[volume] = patient or _of_crop(volume) or volume
    found.notes = _notes(found.of_volume, stated, key_of, pattern)
    found.notes += _contradictions(stated, key_of, named, records, keys)
    return found


def _of_crop(volume: str) -> str | None:
    """Return the patient of a crop around one lesion, as ULS23 names them.

    >>> _of_crop("images/000038_01_01_050_lesion_02.nii.gz"), _of_crop("bone_7_lesion_01.nii.gz")
    ('000038', 'bone_7')
    """
    found = _CROP.search(strip_suffix(volume.rpartition("/")[2]))
    return None if found is None else found[1] or found[2]


def _key(records: Sequence[BookmarkRecord], of_volume: str | None) -> str | None:
    """Return the hash of the volume's patient, else that of its reports if they agree."""
    of_reports = {record.patient_key for record in records} - {None}
    return of_volume or (of_reports.pop() if len(of_reports) == 1 else None)


def _notes(
    of_volume: Mapping[str, str],
    stated: Mapping[str, str | None],
    key_of: Mapping[str, str | None],
    pattern: str | None,
) -> list[str]:
    total = len(of_volume)
    if total < 2:
        return []
    by_name = sum(patient is not None for patient in stated.values())
    by_key = sum(stated[v] is None and key_of[v] is not None for v in of_volume)
    by_crop = sum(
        stated[v] is None and key_of[v] is None and _of_crop(v) is not None for v in of_volume
    )
    guessed = total - by_name - by_key - by_crop
    sources = (
        (by_name, "--patient-pattern" if pattern else "the bookmarks"),
        (by_key, "DICOM's PatientID"),
        (by_crop, "names of crops around lesions"),
        (guessed, "the volume alone"),
    )
    shown = ", ".join(f"{source} ({n} volumes)" for n, source in sources if n)
    notes = [f"{len(set(of_volume.values()))} patients of {total} volumes, told by {shown}."]
    if guessed:
        notes.append(
            f"No patient is named for {guessed} of {total} volumes: each of them is taken as"
            " a patient of its own. Add a patient column, or use --patient-pattern."
        )
    if by_key == total and len(set(of_volume.values())) == 1:
        notes.append(
            f"All {total} volumes have one PatientID and are taken as one patient. If it is an"
            " anonymiser's, add a patient column, or use --patient-pattern."
        )
    return notes


def _contradictions(
    stated: Mapping[str, str | None],
    key_of: Mapping[str, str | None],
    named: Mapping[str, set[str]],
    records: Mapping[str, Sequence[BookmarkRecord]],
    keys: Mapping[str, str | None],
) -> list[str]:
    """Compare what is stated with DICOM's PatientID, and reports with their volumes."""
    keys_of: dict[str, set[str]] = defaultdict(set)
    for volume, patient in stated.items():
        if patient is not None and key_of[volume] is not None:
            keys_of[patient].add(key_of[volume])
    split = sum(len(patients) > 1 for patients in named.values())
    joined = sum(len(found) > 1 for found in keys_of.values())
    foreign = sum(
        any(r.patient_key not in (None, keys[v]) for r in records[v])
        for v in records
        if keys.get(v) is not None
    )
    told = (
        (split, "PatientIDs in DICOM are of several patients as stated; the stated ones count"),
        (joined, "patients as stated have several PatientIDs in DICOM; the stated ones count"),
        (foreign, "volumes have reports of another PatientID than their own; the volume's counts"),
    )
    return [f"{count} {what}." for count, what in told if count]


def _stated(
    volume: str, records: Sequence[BookmarkRecord], pattern: str | None, known: str | None
) -> str | None:
    """Return the patient of a volume as the pattern or the bookmarks state it."""
    if pattern is not None:
        match = re.search(pattern, volume)
        if match is None or not match.groups() or not match.group(1):
            raise DataError(
                f"Expected a path that fits the patient pattern '{pattern}' (with one group) but it"
                " does not. Correct --patient-pattern.",
                path=volume,
            )
        return match.group(1)
    named = {record.patient for record in records if record.patient} | {known} - {None}
    if len(named) > 1:
        raise DataError(
            f"Expected one patient per volume but got {len(named)} in the rows of this one."
            " Correct the patient column.",
            path=volume,
        )
    return named.pop() if named else None
