"""Which files of a folder are slices, which series they make, and what else lies there."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from data_prep.errors import DataError
from data_prep.volumes.dicom.frames import frame_count
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom, object_kind
from data_prep.volumes.dicom.series_choice import SeriesChoice
from data_prep.volumes.search.archives import archive_kind
from data_prep.volumes.search.file_names import VOLUME_SUFFIXES

_FOREIGN = (
    ".png",
    ".txt",
    ".csv",
    ".tsv",
    ".json",
    ".xml",
    ".pdf",
    ".html",
    ".md",
    ".jpg",
    ".jpeg",
)
_FOREIGN += (".zip", *VOLUME_SUFFIXES)
# Endings of letters that no slice has; names without ending or with numbers may be slices.
_OTHER_ENDING = re.compile(r"\.(?!(?:dcm|dicom|dic|ima|img|gz)$)[a-z][a-z0-9_]{0,9}$")
_FOREIGN_NAMES = ("dicomdir", "thumbs.db", "desktop.ini", "lockfile", "version")
# Start of a file encrypted as a whole: CMS enveloped data, OID 1.2.840.113549.1.7.3.
_ENVELOPED = bytes.fromhex("06092a864886f70d010703")


@dataclass(frozen=True)
class DicomImage:
    """A DICOM file: where it lies, how messages call it, and its header."""

    path: Path
    name: str
    data: Dataset

    @property
    def series(self) -> str:
        return str(self.data.get("SeriesInstanceUID", ""))


def lies_beside(name: str) -> bool:
    """Say whether a file name is not a slice's but of what exports put beside the slices."""
    lower = name.lower()
    return lower.startswith(".") or lower in _FOREIGN_NAMES or lower.endswith(_FOREIGN)


def list_images(
    folder: Path, name: str, skipped: Collection[str] = ()
) -> tuple[list[DicomImage], tuple[str, ...]]:
    """Read the headers of a folder; also a note on strange files that were left out.

    Args:
        folder: The folder.
        name: How messages call it.
        skipped: Names of files that are known to be of no concern.
    """
    images, strange = [], []
    for entry in sorted(os.listdir(folder)):
        path = folder / entry
        lower = entry.lower()
        if path.is_dir() or lower.startswith(".") or lower in _FOREIGN_NAMES or entry in skipped:
            continue
        label = entry if name == "." else f"{name}/{entry}"
        if not is_dicom(path):
            if lower.endswith(_FOREIGN):
                continue
            if _OTHER_ENDING.search(lower) and path.stat().st_size:
                strange.append(label)
                continue
            refuse_foreign(path, label)
        images.append(DicomImage(path, label, read_header(path, label)))
    notes = ()
    if strange and images:
        shown = ", ".join(strange[:3])
        notes = (f"{name}: {len(strange)} files beside the slices were left out: {shown}.",)
    elif strange:
        refuse_foreign(folder / strange[0].rpartition("/")[2], strange[0])
    return images, notes


def refuse_foreign(path: Path, name: str) -> None:
    """Raise DataError that says what a file is that is no DICOM image."""
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        raise DataError("Expected an image but got an empty file. Copy it again.", path=name)
    if _ENVELOPED in start[:64]:
        raise DataError(
            "Expected a DICOM file but got an encrypted one. Decrypt it first.", path=name
        )
    if kind := archive_kind(start):
        packed = "Unpack it, e.g. with gunzip." if "gzip" in kind else "Unpack it."
        advice = packed if kind.startswith("a file") else "Unpack it and name the folder."
        raise DataError(f"Expected an image but got {kind}. {advice}", path=name)
    raise DataError(
        "Expected DICOM, NIfTI (.nii, .nii.gz), NRRD (.nrrd) or MetaImage (.mha, .mhd) but got "
        "none of these. Check the file and its extension.",
        path=name,
    )


def is_image(image: DicomImage) -> bool:
    """Tell images from other objects; raise DataError for an image without its size."""
    data = image.data
    if object_kind(sop_class(image)) is not None:
        return False
    if "Rows" not in data or "Columns" not in data:
        # Not to be left out in silence: an end slice would be lost without a gap.
        raise DataError(
            "Expected an image but got a header without its size: the file is cut off, or no "
            "image. Copy it again or remove it.",
            path=image.name,
        )
    return True


def sop_class(image: DicomImage) -> str:
    """Return the SOP class UID, from the file's meta information if the header has none."""
    data = image.data
    return str(data.get("SOPClassUID", "") or data.file_meta.get("MediaStorageSOPClassUID", ""))


def choose_series(
    series: dict[str, list[DicomImage]], name: str, series_uid: str | None, choice: SeriesChoice
) -> tuple[str, tuple[str, ...]]:
    """Return the UID of the series to read, and a note if it was a choice by rule.

    Args:
        series: Images by the UID of their series.
        name: How messages call the folder.
        series_uid: The series that the user named; no choice is made then.
        choice: Which one to take without that.
    """
    counts = {uid: sum(frame_count(i.data) for i in images) for uid, images in series.items()}
    shown = "; ".join(f"{uid} ({counts[uid]} slices)" for uid in sorted(series)[:8])
    if series_uid is not None:
        if series_uid not in series:
            raise DataError(
                f"Expected the series {series_uid} but got only {shown}. Correct the UID.",
                path=name,
            )
        return series_uid, ()
    series = {uid: images for uid, images in series.items() if choice.fits(images[0].data)}
    if not series:
        raise DataError(
            f"Expected a series that fits {choice} but got {len(counts)} that do not. Correct the"
            " option, or leave this folder out.",
            path=name,
        )
    if len(series) == 1:
        chosen = next(iter(series))
        chosen_of = f"{name}: took series {chosen}, which fits {choice}, of {len(counts)}."
        return chosen, (chosen_of,) if len(counts) > 1 else ()
    shown = "; ".join(f"{uid} ({counts[uid]} slices)" for uid in sorted(series)[:8])
    studies = len({str(images[0].data.get("StudyInstanceUID", "")) for images in series.values()})
    best = sorted(series, key=lambda uid: (-counts[uid], uid))
    tie = counts[best[0]] == counts[best[1]]
    if choice.rule != "most-slices" or tie or studies > 1:
        of_studies = f" of {studies} studies" if studies > 1 else ""
        longest = (
            "" if tie or studies > 1 else ", or take the longest with --series-rule most-slices"
        )
        raise DataError(
            f"Expected one image series but got {len(series)}{of_studies}: {shown}. Name one as"
            " folder#UID, choose with --modality or --series-description" + longest + ".",
            path=name,
        )
    note = f"{name}: took series {best[0]}, the longest of {len(series)}: {shown}."
    return best[0], (note,)
