"""LGG segmentation set (FLAIR MR of 110 patients): `python -m data_prep.public_sets.lgg`.

Reads the public download, one folder per patient with `<folder>_<number>.tif` (three channels, the
second one FLAIR) and `<folder>_<number>_mask.tif`, or volumes `images/<patient>.nii.gz` with
`masks/<patient>_mask.nii.gz`, one label per lesion. Writes volumes and masks (of the download
only) and `bookmarks.csv`: one RECIST bookmark per 3D lesion, on its largest slice. Names of
patients lose the date that the download's folders carry.

The download states no spacing: 1 mm is written, so millimetres are pixels. Masks become lesions by
3D connectivity (26 neighbours); pieces of a slice below 10 pixels are dropped.

Source: Buda et al. 2019; Mazurowski et al. 2017. Licence as published: CC BY-NC-SA.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from data_prep.bookmarks.recist import Bookmark
from data_prep.command_line import command_parser, print_any_character, reports_errors
from data_prep.errors import DataError
from data_prep.public_sets.converted import Converted
from data_prep.public_sets.key_slices import key_slice_bookmarks, write_bookmarks
from data_prep.volumes.itk.write_nifti import write_nifti
from data_prep.volumes.volume import read_label_volume

SLICE_NAME = re.compile(r"(TCGA_\w\w_\w{4})_\d{8}_(\d+)\.tif")
FLAIR = 1
MIN_PIECE_PIXELS = 10
MASK_ENDING = "_mask.nii.gz"


@dataclass(frozen=True)
class Patient:
    """A patient with the folder of slices, or the mask of the volume, that belongs to it."""

    name: str
    path: Path


def find_patients(source: Path) -> list[Patient]:
    """List the patients of either layout.

    Raises:
        DataError: None is there.
    """
    masks = source / "masks"
    if masks.is_dir():
        found = [
            Patient(path.name.removesuffix(MASK_ENDING), path)
            for path in sorted(masks.glob("*" + MASK_ENDING))
        ]
    else:
        found = [
            Patient("_".join(path.name.split("_")[:3]), path)
            for path in sorted(source.rglob("TCGA_*"))
            if path.is_dir()
        ]
    if not found:
        raise DataError(
            "Expected folders TCGA_… of slices, or masks/*_mask.nii.gz, but got neither. Name the"
            " folder that the download was unpacked to.",
            path=source,
        )
    return found


def read_slices(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a folder of the download.

    Returns:
        FLAIR `(Z, Y, X)` uint8 and foreground `(Z, Y, X)` bool, by slice number.

    Raises:
        DataError: A slice has no number, no mask, another size, or cannot be decoded.
    """
    numbered = {}
    for path in folder.glob("*.tif"):
        if match := SLICE_NAME.fullmatch(path.name):
            numbered[int(match[2])] = path
    if not numbered:
        raise DataError(
            "Expected slices such as TCGA_CS_4941_19960909_1.tif but got none. Unpack the download"
            " again.",
            path=folder.name,
        )
    images, masks = [], []
    for number in sorted(numbered):
        path = numbered[number]
        image = _decoded(path, cv2.IMREAD_COLOR)
        mask = _decoded(path.with_name(f"{path.stem}_mask.tif"), cv2.IMREAD_GRAYSCALE)
        if image.shape[:2] != mask.shape or (images and image.shape[:2] != images[0].shape):
            raise DataError(
                f"Expected a slice and a mask of the size of the others but got {image.shape[:2]}"
                f" and {mask.shape}. Unpack the download again.",
                path=f"{folder.name}/{path.name}",
            )
        images.append(image[..., FLAIR])
        masks.append(mask > 127)
    return np.stack(images), np.stack(masks)


def _decoded(path: Path, flag: int) -> np.ndarray:
    image = cv2.imread(str(path), flag) if path.is_file() else None
    if image is None:
        raise DataError(
            "Expected a TIFF picture but got none that decodes. Unpack the download again.",
            path=f"{path.parent.name}/{path.name}",
        )
    return image


def lesions_of(foreground: np.ndarray) -> np.ndarray:
    """Number the lesions of a mask.

    Args:
        foreground: `(Z, Y, X)` bool.

    Returns:
        `(Z, Y, X)` uint8, one number per 3D piece; 2D pieces below `MIN_PIECE_PIXELS` are 0.
    """
    in_plane = np.zeros((3, 3, 3))
    in_plane[1] = 1
    pieces, _ = ndimage.label(foreground, in_plane)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = (sizes >= MIN_PIECE_PIXELS)[pieces]
    return ndimage.label(kept, np.ones((3, 3, 3)))[0].astype(np.uint8)


def convert(
    source: Path,
    out: Path,
    noise: float = 0.05,
    seed: int = 0,
    measured: Callable[..., Iterator[tuple[int, Bookmark]]] = key_slice_bookmarks,
) -> Converted:
    """Write the set below `out`.

    Args:
        source: Folder of the download, or with `images/` and `masks/`.
        out: Gets `bookmarks.csv`, and `images/` and `masks/` of a download.
        noise, seed: See `key_slice_bookmarks`.
        measured: That, or `every_slice_bookmarks`.

    Raises:
        DataError: A patient or a slice is not as expected.
    """
    patients = find_patients(source)
    rows = _rows(patients, out, partial(measured, noise=noise, seed=seed))
    count = write_bookmarks(out / "bookmarks.csv", rows)
    written = out if patients[0].path.is_dir() else source
    return Converted(written / "images", written / "masks", len(patients), count)


def _rows(
    patients: Sequence[Patient],
    out: Path,
    measured: Callable[..., Iterator[tuple[int, Bookmark]]],
) -> Iterator[tuple]:
    for patient in patients:
        if patient.path.is_dir():
            image, foreground = read_slices(patient.path)
            labels, spacing = lesions_of(foreground), (1.0, 1.0)
            for folder, ending, array in (
                ("images", ".nii.gz", image),
                ("masks", MASK_ENDING, labels),
            ):
                write_nifti(out / folder / (patient.name + ending), sitk.GetImageFromArray(array))
        else:
            mask = read_label_volume(patient.path)
            labels, spacing = mask.array, mask.spacing_mm[:2]
        for z, bookmark in measured(labels, patient.name, spacing_xy=spacing):
            yield f"{patient.name}.nii.gz", patient.name, z, bookmark


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Command line; exit status 0, or 2 where nothing could be made."""
    parser = command_parser(__doc__, "python -m data_prep.public_sets.lgg")
    parser.add_argument("source", type=Path, help="folder of the download, or images/ and masks/")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder for the result")
    parser.add_argument(
        "--noise", type=float, default=0.05, help="of end points, share of the short axis (0.05)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    args = parser.parse_args(argv)
    print_any_character()
    convert(args.source, args.out_dir, args.noise, args.seed).show(args.out_dir)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
