"""DeepLesion's folders of 16-bit PNG slices: `<patient>_<study>_<series>/<slice>.png`.

The PNG files hold no geometry. Rows run to the back and columns to the patient's left; slice
numbers run to the feet, as in the data set's own conversion to NIfTI. The spacing stands in
`DL_info.csv`, which is looked for in the image folder and beside it.

A folder whose slice numbers have gaps holds several volumes: each block of consecutive numbers is
one, `folder#103-115`.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from data_prep.csv_rows import open_table
from data_prep.errors import DataError
from data_prep.limits import check_file
from data_prep.volumes import png_files
from data_prep.volumes.geometry import Grid
from data_prep.volumes.itk.header import check_spacing
from data_prep.volumes.stored import Stored, check_size

INFO_NAME = "DL_info.csv"
# Stored value of 0 HU.
OFFSET = 32768


def matches(entries: Sequence[str]) -> bool:
    """Say whether a folder's file names are those of PNG slices."""
    return any(e.lower().endswith(".png") for e in entries if not e.startswith("."))


def block_of(text: str | None) -> tuple[int, int] | None:
    """Return the first and last slice number of `5-17`; None for another text."""
    match = re.fullmatch(r"(\d{1,9})-(\d{1,9})", text or "", re.ASCII)
    return None if match is None else (int(match[1]), int(match[2]))


def blocks(path: Path, name: str) -> list[tuple[int, int]]:
    """Return first and last number of each block of consecutive slices in a folder, by number."""
    found: list[tuple[int, int]] = []
    for number in sorted(_numbered(path, name)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def part_name(folder: str, part: tuple[int, int], there: Sequence[tuple[int, int]]) -> str:
    """Name the volume of a part of a folder: `folder#5-17`, or `folder` if that is all of it.

    Args:
        folder: Path relative to the folder of all volumes.
        part: First and last slice number.
        there: The folder's `blocks`.
    """
    return folder if list(there) == [part] else f"{folder}#{part[0]}-{part[1]}"


def read(
    path: Path,
    name: str,
    spacing_mm: tuple[float, float, float] | None = None,
    block: tuple[int, int] | None = None,
) -> Stored:
    """Read a folder of slices into HU, int16.

    Args:
        path: Folder.
        name: How messages call it.
        spacing_mm: Spacing (x, y, z); default: from `DL_info.csv`.
        block: First and last slice number, to read a part; default: all slices.
    """
    numbered = _numbered(path, name)
    if block is not None:
        wanted = range(block[0], block[1] + 1)
        missing = next((number for number in wanted if number not in numbered), None)
        if missing is not None or not wanted:
            raise DataError(
                f"Expected the slices {block[0]} to {block[1]} but got no number "
                f"{block[0] if missing is None else missing}. Add it or correct the numbers.",
                path=name,
            )
        numbered = {number: numbered[number] for number in wanted}
    numbers = sorted(numbered)
    gaps = [n for n, after in pairwise(numbers) if after != n + 1]
    if gaps:
        raise DataError(
            f"Expected consecutive slices but got a gap after slice number {gaps[0]}. Add the "
            f"missing slices, or name one block, {name}#{numbers[0]}-{gaps[0]}.",
            path=name,
        )
    spacing = spacing_mm or _spacing_from_info(path)
    if spacing is None:
        raise DataError(
            f"Expected the spacing in {INFO_NAME} but got no spacing. Put {INFO_NAME} into the "
            "image folder or beside it.",
            path=name,
        )
    check_spacing(spacing, name)
    files = [(path / numbered[number], f"{name}/{numbered[number]}") for number in numbers]
    shape = _shape(files, name)
    planes = []
    for (_, label), image in zip(files, png_files.read_each(files), strict=True):
        if isinstance(image, DataError):
            raise image
        if image.dtype != np.uint16 or image.shape != shape:
            raise DataError(
                "Expected a sound PNG slice but got a broken one. Copy it again.", path=label
            )
        planes.append((image.astype(np.int32) - OFFSET).astype(np.int16))
    array = np.stack(planes)
    size = array.shape[::-1]
    # z is counted from the feet, so the first slice lies highest.
    origin = (0.0, 0.0, (size[2] - 1) * float(spacing[2]))
    direction = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    grid = Grid(size, tuple(float(s) for s in spacing), origin, direction)
    return Stored(array, grid, slice_numbers=tuple(numbers))


def _numbered(path: Path, name: str) -> dict[int, str]:
    numbered: dict[int, str] = {}
    for entry in sorted(os.listdir(path)):
        stem, suffix = os.path.splitext(entry)
        if suffix.lower() != ".png" or entry.startswith("."):
            continue
        if not (stem.isascii() and stem.isdigit() and len(stem) < 10):
            raise DataError(
                "Expected slices named by their numbers of at most 9 digits (001.png) but got "
                "another name. Rename or remove it.",
                path=f"{name}/{entry}",
            )
        if int(stem) in numbered:
            raise DataError(
                f"Expected each slice once but got a duplicate: {numbered[int(stem)]} and "
                f"{entry}. Remove one.",
                path=name,
            )
        numbered[int(stem)] = entry
    return numbered


def _shape(files: Sequence[tuple[Path, str]], name: str) -> tuple[int, int]:
    """Return rows and columns of the slices by their headers, which must be those of one volume."""
    shape: tuple[int, int] | None = None
    for index, (path, label) in enumerate(files):
        check_file(path, label)
        with open(path, "rb") as file:
            width, height, bits, colour = png_files.header(file.read(33), label)
            file.seek(max(33, file.seek(0, os.SEEK_END) - 8))
            end = file.read(4)
        check_size((width, height, len(files)), label)
        if (bits, colour) != (16, 0):
            kind = "colours" if colour in (2, 3, 6) else f"{bits} bits"
            raise DataError(
                f"Expected 16-bit grey PNG slices but got {kind}. Use DeepLesion's own PNG files.",
                path=label,
            )
        if end != b"IEND":
            raise DataError(
                "Expected a whole PNG file but its end is missing: it is cut off. Copy it again.",
                path=label,
            )
        if shape is not None and (height, width) != shape:
            raise DataError(
                f"Expected slices of one size but got {shape[1]} x {shape[0]} and "
                f"{width} x {height}. Separate the series.",
                path=name,
                slice_index=index,
            )
        shape = (height, width)
    return shape


def _spacing_from_info(folder: Path) -> tuple[float, ...] | None:
    folder = Path(os.path.abspath(folder))
    for parent in (folder.parent, folder.parent.parent):
        info = parent / INFO_NAME
        if info.is_file():
            return _spacings(str(info), info.stat().st_mtime_ns).get(folder.name)
    return None


@lru_cache(maxsize=2)
def _spacings(info: str, _changed: int) -> dict[str, tuple[float, ...]]:
    """Return the spacing of each folder in `DL_info.csv`; unreadable rows are left out."""
    spacings: dict[str, tuple[float, ...]] = {}
    with open_table(Path(info), "replace") as file:
        for row in csv.DictReader(file):
            folder = (row.get("File_name") or "").rpartition("_")[0]
            try:
                values = tuple(float(v) for v in (row.get("Spacing_mm_px_") or "").split(","))
            except ValueError:
                continue
            if len(values) == 3:
                spacings.setdefault(folder, values)
    return spacings
