"""Which volumes are of one patient.

As stated, else by DICOM's PatientID, else by DICOM's study, else by names that tell it (BIDS,
crops around lesions, several images of one case), else each is of a patient of its own.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.volumes.search.file_names import strip_image_word, strip_suffix

# `<case>_lesion_<number>`; DeepLesion's cases start with the patient's six digits.
_CROP = re.compile(r"^(?:(\d{6})(?:_\d{2}){2}_[\d-]+|(.+))_lesion_\d+(?:_0000)?$", re.IGNORECASE)


# What told the patient of a volume.
_PATTERN, _BOOKMARKS, _PATIENT_ID = "--patient-pattern", "the bookmarks", "DICOM's PatientID"
_STUDY, _NAMES, _ALONE = "DICOM's study", "names of volumes", "the volume alone"
_SOURCES = (_PATTERN, _BOOKMARKS, _PATIENT_ID, _STUDY, _NAMES, _ALONE)
# BIDS: the subject, in the name of a file or of a folder around it.
_SUBJECT = re.compile(r"(?:^|[/_])(sub-[a-z0-9]+)(?=[/_.]|$)", re.IGNORECASE)


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
    studies: Mapping[str, str] | None = None,
) -> Patients:
    """Group volumes by patient.

    Args:
        records: Bookmarks of each volume; maybe none.
        keys: Keyed hash of each DICOM volume's PatientID, where known.
        pattern: Regular expression; its first group, found in a volume's path, is the patient. It
            overrides the bookmarks' own column.
        known: Patient of volumes beside what their bookmarks say.
        studies: StudyInstanceUID of each DICOM volume, where known.

    Raises:
        DataError: A volume of two patients, or a pattern that does not fit.
    """
    names, known = sorted(records), known or {}
    stated = {v: _stated(v, records[v], pattern, known.get(v)) for v in names}
    same = _same_keys({*keys.values()} | {r.patient_key for v in names for r in records[v]})
    keys = {volume: same.get(key) for volume, key in keys.items()}
    reported = {v: {same.get(r.patient_key) for r in records[v]} - {None} for v in names}
    by_id = {volume: _key(reported[volume], keys.get(volume)) for volume in names}
    by_name = {v: name for v, name in _of_names(names).items() if by_id[v] is None}
    by_study = {v: k for v, k in _of_studies(by_id, studies or {}).items() if v not in by_name}
    key_of = by_id | by_study | {volume: f"name {name}" for volume, name in by_name.items()}
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
            patient = min(named[key]) if named[key] else by_name.get(volume, members[key][0])
        found.of_volume[volume] = patient or volume
    told = (
        ({v for v in names if stated[v] is not None}, _PATTERN if pattern else _BOOKMARKS),
        (by_study, _STUDY),
        (by_name, _NAMES),
        ({v for v in names if by_id[v] is not None}, _PATIENT_ID),
        (names, _ALONE),
    )
    sources = {v: next(source for among, source in told if v in among) for v in names}
    found.notes = _notes(found.of_volume, sources)
    named = {key: named[key] for key in {*by_id.values()} - {None}}
    found.notes += _contradictions(stated, by_id, named, reported, keys)
    return found


def _same_keys(keys: set[str | None]) -> dict[str, str]:
    """Return one key for each: an ID with and without its issuer is one patient's.

    IDs of several issuers are of several patients.
    """
    issuers = defaultdict(set)
    for key in keys - {None}:
        patient, _, issuer = key.partition(":")
        issuers[patient] |= {issuer} - {""}
    return {
        key: p if len(issuers[p := key.partition(":")[0]]) < 2 else key for key in keys - {None}
    }


def _of_studies(key_of: Mapping[str, str | None], studies: Mapping[str, str]) -> dict[str, str]:
    """Return a key for volumes without PatientID: that of their study, which they may share."""
    known = {studies[v]: key for v, key in sorted(key_of.items()) if key and studies.get(v)}
    return {
        volume: known.get(studies[volume], f"study {studies[volume]}")
        for volume, key in key_of.items()
        if key is None and studies.get(volume)
    }


def _of_names(volumes: Sequence[str]) -> dict[str, str]:
    """Return the patient of volumes whose names tell it.

    >>> _of_names(["x/sub-07_ses-1_T2w.nii.gz", "c1_0000.nii", "c1_0001.nii", "c2_0000.nii"])
    {'x/sub-07_ses-1_T2w.nii.gz': 'sub-07', 'c1_0000.nii': 'c1', 'c1_0001.nii': 'c1'}
    """
    cases = {volume: strip_image_word(strip_suffix(volume)) for volume in volumes}
    count = Counter(cases.values())
    told = {
        volume: subject[1] if (subject := _SUBJECT.search(volume)) else _of_crop(volume)
        for volume in volumes
    }
    return {
        volume: patient
        for volume in volumes
        if (patient := told[volume] or (cases[volume] if count[cases[volume]] > 1 else None))
    }


def _of_crop(volume: str) -> str | None:
    """Return the patient of a crop around one lesion, as ULS23 names them.

    >>> _of_crop("images/000038_01_01_050_lesion_02.nii.gz"), _of_crop("bone_7_lesion_01.nii.gz")
    ('000038', 'bone_7')
    """
    found = _CROP.search(strip_suffix(volume.rpartition("/")[2]))
    return None if found is None else found[1] or found[2]


def _key(of_reports: set[str], of_volume: str | None) -> str | None:
    """Return the hash of the volume's patient, else that of its reports if they agree."""
    return of_volume or (min(of_reports) if len(of_reports) == 1 else None)


def _notes(of_volume: Mapping[str, str], sources: Mapping[str, str]) -> list[str]:
    """Tell how many patients there are.

    Args:
        of_volume: Patient of each volume.
        sources: What told the patient of each volume.
    """
    total, patients = len(of_volume), len(set(of_volume.values()))
    if total < 2:
        return []
    counts = Counter(sources.values())
    shown = ", ".join(
        f"{source} ({counts[source]} volumes)" for source in _SOURCES if counts[source]
    )
    notes = [f"{patients} patients of {total} volumes, told by {shown}."]
    if guessed := counts[_ALONE] + counts[_STUDY]:
        each = "each DICOM study" if counts[_STUDY] else "each of them"
        each += " or other volume" if counts[_STUDY] and counts[_ALONE] else ""
        notes.append(
            f"No patient is named for {guessed} of {total} volumes: {each} is taken as a patient"
            " of its own. Add a patient column, or use --patient-pattern."
        )
    if counts[_PATIENT_ID] == total and patients == 1:
        notes.append(
            f"All {total} volumes have one PatientID and are taken as one patient. If it is an"
            " anonymiser's, add a patient column, or use --patient-pattern."
        )
    return notes


def _contradictions(
    stated: Mapping[str, str | None],
    key_of: Mapping[str, str | None],
    named: Mapping[str, set[str]],
    reported: Mapping[str, set[str]],
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
        bool(found - {keys[v]}) for v, found in reported.items() if keys.get(v) is not None
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
