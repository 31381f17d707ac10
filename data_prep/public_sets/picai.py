"""PI-CAI (prostate MR of 1 476 patients): `mmglan public-set picai`.

Reads what lies below one folder: `…/<patient>/<patient>_<study>_t2w.mha` of the archives
`picai_public_images_fold0` to `4`, and `csPCa_lesion_delineations/human_expert/` of the repository
`DIAGNijmegen/picai_labels`. Of the latter `resampled/` is taken and, for studies without,
`Pooch25/`: masks on the grid of the T2W image. Those of `original/` are on other grids, and the
other sequences are not used.

A lesion is a piece of the voxels above 0 (26 neighbours), whatever its grade, as the challenge
counts them. Writes `masks/`, one label per lesion, and `bookmarks.csv`: one RECIST bookmark per
lesion, on its largest slice. Studies without a lesion are listed as free of lesions; studies
without a delineation or an image are left out and counted. `split.csv` deals patients out by their
numbers, so that both studies of a patient are in one split, whichever archives are there.

Source: Saha et al. 2022. Licence as published: CC BY-NC 4.0.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.bookmarks.formats.label_masks import components
from data_prep.errors import DataError
from data_prep.public_sets.converted import Converted
from data_prep.public_sets.key_slices import key_slice_bookmarks, row_in_mm
from data_prep.volumes.itk.write_nifti import write_nifti
from data_prep.volumes.volume import read_label_volume

IMAGE = re.compile(r"(\d+)_\d+_t2w\.mha")
DELINEATIONS = "csPCa_lesion_delineations/human_expert"
# In the order of preference.
FOLDERS = ("resampled", "Pooch25")


@dataclass(frozen=True)
class Study:
    """A study with an image and a mask.

    Attributes:
        volume: Path of the image relative to the source, with `/`.
        patient: Its number.
        mask: The delineation.
    """

    volume: str
    patient: str
    mask: Path


def find_studies(source: Path) -> tuple[list[Study], list[str]]:
    """List the studies below a folder, by path.

    Returns:
        The studies, and a note for each kind of what is left out.

    Raises:
        DataError: There are no images or no delineations, or an image lies there twice.
    """
    images: dict[str, Path] = {}
    for path in sorted(source.rglob("*_t2w.mha")):
        if IMAGE.fullmatch(path.name) and path.is_file():
            name = path.name.removesuffix("_t2w.mha")
            if name in images:
                raise DataError(
                    "Expected each image once but got it in two folders. Remove one.",
                    path=path,
                )
            images[name] = path
    masks = {
        path.name.removesuffix(".nii.gz"): path
        for folder in reversed(FOLDERS)
        for path in sorted(source.rglob(f"{DELINEATIONS}/{folder}/*.nii.gz"))
    }
    for found, what in ((images, "*_t2w.mha"), (masks, f"{DELINEATIONS}/{FOLDERS[0]}/*.nii.gz")):
        if not found:
            raise DataError(
                f"Expected files {what} but got none. Name the folder that holds the unpacked"
                " images and the repository of the labels.",
                path=source,
            )
    notes = [
        f"{len(rest)} {what}: left out."
        for rest, what in (
            (images.keys() - masks.keys(), "images without a delineation"),
            (masks.keys() - images.keys(), "delineations without an image"),
        )
        if rest
    ]
    studies = [
        Study(path.relative_to(source).as_posix(), name.partition("_")[0], masks[name])
        for name, path in images.items()
        if name in masks
    ]
    return sorted(studies, key=lambda study: study.volume), notes


def convert(source: Path, out: Path, noise: float = 0.05, seed: int = 0) -> Converted:
    """Write masks and bookmarks below `out`.

    Args:
        source: Folder of the download.
        out: Gets `masks/`, with the paths of the images, `bookmarks.csv` and `split.csv`.
        noise, seed: See `key_slice_bookmarks`.

    Raises:
        DataError: A mask is not as expected.
    """
    studies, notes = find_studies(source)
    rows, lesions = [], 0
    for study in studies:
        found, n = _rows(study, source, out / "masks", noise, seed)
        rows += found
        lesions += n
    split = {study.patient: split_of(study.patient) for study in studies}
    done = Converted.with_split(source, out, rows, split, notes)
    if lesions > done.bookmarks:
        note = f"{lesions - done.bookmarks} lesions are too small for two axes: not bookmarked."
        done = replace(done, notes=(*done.notes, note))
    return done


def split_of(patient: str) -> str:
    """Draw the split of a patient: 70, 15 and 15 of 100, whatever else is there."""
    draw = zlib.crc32(patient.encode()) % 100
    return "train" if draw < 70 else "val" if draw < 85 else "test"


def _rows(
    study: Study, source: Path, masks: Path, noise: float, seed: int
) -> tuple[list[list[str]], int]:
    """Write the mask of a study; return its rows of the table, and its number of lesions."""
    mask = read_label_volume(study.mask, root=source, allow_empty=True)
    labels = components(mask.array > 0)
    name = study.volume.removesuffix(".mha")
    write_nifti(masks / f"{name}_mask.nii.gz", mask.to_source(labels.astype("uint16")))
    rows = []
    spacing = mask.spacing_mm[:2]
    for z, bookmark in key_slice_bookmarks(labels, Path(name).name, noise, seed, spacing):
        index = [[x, y, z] for x, y in bookmark.points().tolist()]
        rows.append(row_in_mm(study.volume, study.patient, mask.to_patient_mm(index)))
    count = int(labels.max())
    if not count:
        rows.append(row_in_mm(study.volume, study.patient, status="complete"))
    return rows, count
