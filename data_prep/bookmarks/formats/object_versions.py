"""Copies of DICOM objects, and objects that others replace: none of their lesions counts twice."""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from data_prep.bookmarks.record import ReadResult
from data_prep.errors import DataError
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.stored import only_data_errors


def read_each(
    files: Iterable[tuple[Path, str]], read_one: Callable[[Path, str], ReadResult]
) -> ReadResult:
    """Read objects, but a copy of another and what another replaces: these are named in the notes.

    Args:
        files: Each with what messages call it.
        read_one: Reads a file of a name.

    Returns:
        What was read. A volume of which a replaced object holds more than the rest does is
        incomplete.
    """
    files = list(files)
    result, unused, left_out = ReadResult(), not_to_read(files), Counter()
    for file, label in files:
        reason = unused.get(file)
        try:
            with only_data_errors(label):
                if isinstance(reason, DataError):
                    raise reason
                if reason is None:
                    result.add(read_one(file, label))
                    continue
        except DataError as error:
            result.refuse(DataError(error.message, path=label, row=error.row))
            continue
        result.notes.append(reason)
        with suppress(DataError), only_data_errors(label):
            left_out.update(record.volume for record in read_one(file, label).records)
    read = Counter(record.volume for record in result.records)
    result.incomplete_volumes |= {v for v, count in left_out.items() if count > read[v]}
    return result


@dataclass(frozen=True)
class _Identity:
    """Which object a file holds, the objects that it replaces, and the series that it is of."""

    file: Path
    label: str
    uid: str
    replaces: frozenset[str]
    series: frozenset[str]


def not_to_read(files: Iterable[tuple[Path, str]]) -> dict[Path, str | DataError]:
    """Say which objects are not to be read, and why: a note, or an error.

    A copy is read once. An object that another one of the same series names as its predecessor is
    not read; of other series (an earlier examination) it is. Different objects of one UID, and
    objects that replace each other, are errors.
    """
    reasons: dict[Path, str | DataError] = {}
    found: dict[str, _Identity] = {}
    for file, label in files:
        with suppress(DataError), only_data_errors(label):  # its reader says so
            if not is_dicom(file):
                continue
            one = _identity(file, label)
            first = found.setdefault(one.uid or label, one)
            if first is one:
                continue
            reasons[file] = f"{label}: a copy of {first.label}, which is read."
            if not filecmp.cmp(file, first.file, shallow=False):
                reasons[file] = DataError(
                    f"Expected one object of a UID but got another than {first.label}. Keep the one"
                    " that counts."
                )
    for new in found.values():
        for old in (found[uid] for uid in sorted(new.replaces & {*found})):
            if old.uid in new.replaces and new.uid in old.replaces:
                reasons[old.file] = DataError(
                    f"Expected a report of which others are predecessors but got one that"
                    f" {new.label} replaces, and that replaces it. Keep the one that counts."
                )
            elif not old.series or old.series & new.series:
                reasons[old.file] = f"{old.label}: not used, since {new.label} replaces it."
    return reasons


def _identity(file: Path, label: str) -> _Identity:
    data = read_header(file, label)
    nested = [
        entry
        for element in data
        if element.VR == "SQ" and not element.keyword.startswith("Predecessor")
        for part in element.value
        for entry in part.iterall()
    ]
    earlier = [
        entry
        for keyword in ("PredecessorDocumentsSequence", "PredecessorStructureSetSequence")
        for part in data.get(keyword, None) or ()
        for entry in part.iterall()
    ]
    return _Identity(
        file,
        label,
        str(data.get("SOPInstanceUID", "") or ""),
        frozenset(str(e.value) for e in earlier if e.keyword == "ReferencedSOPInstanceUID"),
        frozenset(str(e.value) for e in nested if e.keyword == "SeriesInstanceUID"),
    )
