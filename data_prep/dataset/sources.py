"""What a run reads: which volumes, which masks belong to them, whose they are.

Volumes and patients get pseudonyms (`v0001`, `p0001`) in the order of their names.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError, quoted
from data_prep.paths import without_series
from data_prep.volumes.any_format import slice_folder
from data_prep.volumes.dicom_files import is_dicom, lies_beside, read_header
from data_prep.volumes.dicom_frames import frame_count

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_SLICE_SUFFIXES = (".dcm", ".ima", ".png")
_MASK_NAME = re.compile(r"(^|[_.-])(masks?|segs?|segmentations?|labels?)$", re.IGNORECASE)


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
    """

    volume_id: str
    patient_id: str
    volume: str
    patient: str
    mask: str | None
    records: tuple[BookmarkRecord, ...]
    all_known: bool = True


def stem(volume: str) -> str:
    """A volume's relative path without the ending of its format."""
    base = without_series(volume)
    for suffix in SUFFIXES:
        if base.lower().endswith(suffix):
            return base[: -len(suffix)]
    return base


def find_volumes(root: Path, apart: Iterable[Path] = ()) -> list[str]:
    """Paths, relative to `root`, of everything below that looks like a volume.

    Files of the volume formats count, folders that hold DICOM or PNG slices, and each of several
    multi-frame DICOM files in one folder. DICOM files of other endings are known by the four
    letters that they carry. Left out are what lies in the folders `apart` (of masks, of output)
    and files that are called as masks are (`…_mask`, `…_seg`, `labels` …). Folders that
    cannot be read count, for their reader to say so.
    """
    found: list[str] = []
    others = {folder.resolve() for folder in apart} - {root.resolve()}

    def refused(error: OSError) -> None:
        found.append(os.path.relpath(error.filename, root))

    for folder, folders, names in os.walk(root, onerror=refused):
        folders.sort()
        if others and Path(folder).resolve() in others:
            folders.clear()
            continue
        names = sorted(name for name in names if not name.startswith("."))
        here = os.path.relpath(folder, root)
        files = [name for name in names if name.lower().endswith(SUFFIXES)]
        images = [name for name in files if not _MASK_NAME.search(stem(name))]
        found += [os.path.normpath(os.path.join(here, name)) for name in images]
        rest = [name for name in names if name not in files]
        if any(name.lower().endswith(_SLICE_SUFFIXES) for name in rest) or any(
            _carries_dicom(Path(folder) / name) for name in rest if not lies_beside(name)
        ):
            frames = _multi_frame_files(Path(folder), rest)
            found += [os.path.normpath(os.path.join(here, name)) for name in frames] or [here]
    return [Path(name).as_posix() for name in sorted(found)]


def unnamed(root: Path, found: Iterable[str], named: Iterable[str]) -> list[str]:
    """Those of the volumes found by `find_volumes` that are not among the `named` ones.

    A DICOM volume may be named by a series of its folder, by a folder around it, or by its file.
    """
    taken = _places(root, named)
    return [volume for volume in found if volume not in taken]


def overlapping(root: Path, volumes: Iterable[str], others: Iterable[str]) -> set[str]:
    """Those of the `volumes` that may be one of the `others` under another name."""
    taken = _places(root, others)
    return {volume for volume in volumes if taken and _places(root, [volume]) & taken}


def check_names(root: Path, volumes: Iterable[str]) -> None:
    """Raise DataError if a DICOM volume goes by two names.

    Each of the two would be a volume of its own, with some of the lesions.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for volume in sorted(volumes):
        base = without_series(volume)
        if not base.lower().endswith(SUFFIXES):
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
    """The files and folders, relative to `root`, under which volumes may be found."""
    places = set()
    for volume in volumes:
        base = without_series(volume)
        folder = _folder(root, base)
        places.add(folder or base)
        if folder is None and not base.lower().endswith(SUFFIXES):
            places.add(Path(base).parent.as_posix())  # a multi-frame file alone in its folder
    return places


def _folder(root: Path, base: str) -> str | None:
    """The folder of the slices, relative to `root`; None for a file, or if it cannot be read."""
    try:
        return slice_folder(root / base).relative_to(root).as_posix()
    except OSError:
        return None


def _multi_frame_files(folder: Path, names: Sequence[str]) -> list[str]:
    """The DICOM files of a folder if there are several and the first holds several frames."""
    names = [n for n in names if not (lies_beside(n) or n.lower().endswith(".png"))]
    first = next((name for name in names if _carries_dicom(folder / name)), None)
    try:
        if first is None or frame_count(read_header(folder / first, first)) < 2:
            return []
    except (DataError, ValueError, OSError):  # whoever reads the volume will say so
        return []
    files = [name for name in names if _carries_dicom(folder / name)]
    return files if len(files) > 1 else []


def _carries_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except OSError:
        return False


def find_mask(masks: Path, volume: str) -> str | None:
    """The mask of a volume: the same path, or its name with `_mask`, `_seg` or `_label(s)`.

    The folder of TCIA CT Lymph Nodes (`<id>/<id>_mask.nii.gz`) is understood too.
    """
    base = stem(volume)
    name = Path(base).name
    candidates = [base] + [f"{base}{tail}" for tail in ("_mask", "_seg", "_label", "_labels")]
    candidates += [f"{base}/{name}_mask", f"{name}/{name}_mask"]
    for candidate in candidates:
        for suffix in SUFFIXES:
            if os.path.isfile(masks / f"{candidate}{suffix}"):
                return f"{candidate}{suffix}"
    return None


def list_sources(
    records: Sequence[BookmarkRecord],
    extra_volumes: Iterable[str] = (),
    *,
    masks: Path | None = None,
    patient_pattern: str | None = None,
    incomplete: Collection[str] = (),
) -> tuple[list[Source], list[str]]:
    """Sort bookmarks by volume and give pseudonyms.

    Args:
        records: Bookmarks, in any order.
        extra_volumes: Volumes to take although they have no bookmark.
        masks: Folder of voxel masks (or one mask, for one volume).
        patient_pattern: Regular expression; its first group, found in a volume's path, is the
            patient. It overrides the bookmarks' own column.
        incomplete: Volumes with bookmarks that could not be read.

    Returns:
        The volumes in the order of their names, and remarks for the report.

    Raises:
        DataError: A volume of two patients, or a pattern that does not fit.
    """
    by_volume: dict[str, list[BookmarkRecord]] = defaultdict(list)
    for record in records:
        by_volume[record.volume].append(record)
    for volume in extra_volumes:
        by_volume.setdefault(volume, [])
    names = sorted(by_volume)
    patients, guessed = {}, 0
    for volume in names:
        patients[volume], known = _patient(volume, by_volume[volume], patient_pattern)
        guessed += not known
    remarks = []
    if guessed and len(names) > 1:
        remarks.append(
            f"No patient is named for {guessed} of {len(names)} volumes: each of them is taken as"
            " a patient of its own. Add a patient column, or use --patient-pattern."
        )
    volume_digits = max(4, len(str(len(names))))
    order = {patient: i for i, patient in enumerate(sorted(set(patients.values())), start=1)}
    sources = []
    for number, volume in enumerate(names, start=1):
        sources.append(
            Source(
                volume_id=f"v{number:0{volume_digits}d}",
                patient_id=f"p{order[patients[volume]]:0{max(4, len(str(len(order))))}d}",
                volume=volume,
                patient=patients[volume],
                mask=_mask(masks, volume, len(names)),
                records=tuple(sorted(by_volume[volume], key=lambda r: (r.file, r.row or 0))),
                all_known=volume not in incomplete,
            )
        )
    bare = sum(source.mask is None for source in sources)
    if masks is not None and bare:
        remarks.append(
            f"No mask was found for {bare} of {len(sources)} volumes: no true lesions are written"
            " for them. Masks are called as their volumes are."
        )
    return sources, remarks


def _mask(masks: Path | None, volume: str, n_volumes: int) -> str | None:
    if masks is None:
        return None
    if masks.is_file():
        if n_volumes > 1:
            raise DataError(
                f"Expected a folder of masks for {n_volumes} volumes but got one file. Name the"
                " folder, with one mask per volume.",
                path=masks.name,
            )
        return masks.name
    return find_mask(masks, volume)


def _patient(
    volume: str, records: Sequence[BookmarkRecord], pattern: str | None
) -> tuple[str, bool]:
    """The patient of a volume, and whether anyone said so."""
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
