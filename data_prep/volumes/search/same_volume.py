"""The names under which one DICOM volume may go: its series, its folder, a folder around it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from data_prep.errors import DataError, quoted
from data_prep.paths import without_series
from data_prep.volumes.any_format import slice_folder
from data_prep.volumes.search.file_names import suffix_of


def unnamed(root: Path, found: Iterable[str], named: Iterable[str]) -> list[str]:
    """Return those of the volumes of a `VolumeIndex` that are not among the `named` ones.

    A DICOM volume may be named by a series of its folder, by a folder around it, or by its file.
    """
    named = set(named)
    taken = _places(root, named)
    whole = _places(root, {volume for volume in named if without_series(volume) == volume})
    return [
        volume
        for volume in found
        if volume not in (named if without_series(volume) != volume else taken)
        and without_series(volume) not in whole
    ]


def overlapping(root: Path, volumes: Iterable[str], others: Iterable[str]) -> set[str]:
    """Return those of the `volumes` that may be one of the `others` under another name."""
    taken = _places(root, others)
    return {volume for volume in volumes if taken and _places(root, [volume]) & taken}


def check_names(root: Path, volumes: Iterable[str]) -> None:
    """Raise DataError if a DICOM volume goes by two names.

    Each of the two would be a volume of its own, with some of the lesions.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for volume in sorted(volumes):
        base = without_series(volume)
        if not suffix_of(base):
            names[_folder(root, base) or base].append(volume)
    for alike in names.values():
        series = [volume.removeprefix(without_series(volume)) for volume in alike]
        if len(alike) > 1 and ("" in series or len(set(series)) < len(series)):
            raise DataError(
                f"Expected one name per volume but got {quoted(alike[0], 1000)} and"
                f" {quoted(alike[1], 1000)} for the same folder. Name it alike in every row, with"
                " its series or without.",
                path=alike[0],
            )


def _places(root: Path, volumes: Iterable[str]) -> set[str]:
    """Return the files and folders, relative to `root`, under which volumes may be found."""
    places = set()
    for volume in volumes:
        base = without_series(volume)
        folder = _folder(root, base)
        places.add(folder or base)
        if folder is None and not suffix_of(base):
            places.add(Path(base).parent.as_posix())  # a multi-frame file alone in its folder
    return places


def _folder(root: Path, base: str) -> str | None:
    """Return the folder of the slices, relative to `root`; None for a file or unreadable folder."""
    try:
        return slice_folder(root / base).relative_to(root).as_posix()
    except OSError:
        return None
