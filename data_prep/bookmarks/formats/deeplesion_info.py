"""DeepLesion's `DL_info.csv`: 1-based coordinates of key slices.

Of a `File_name` such as `000089_01_01_037.png` the last `_` stands for the folder separator:
folder `000089_01_01`, slice number 37. `Measurement_coordinates` are the long axis, then the
short axis, (x, y) (x, y) each. The file's own boxes are padded by 5 pixels and are not used. Rows
marked as possibly noisy are left out, as the data set's authors do. Where the slice numbers of a
folder have gaps, the volume is the block of the slice, `000089_01_01#31-43`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.csv_rows import dict_of, number, read_text, rows_of, whole_number
from data_prep.errors import DataError, quoted
from data_prep.paths import check_relative, resolve_under
from data_prep.volumes import deeplesion_png
from data_prep.volumes.search.volume_index import VolumeIndex

OPTIONS: frozenset[str] = frozenset()
NEEDED = ("File_name", "Patient_index", "Measurement_coordinates")
SPLITS = {1: "train", 2: "val", 3: "test"}
SITES = {
    1: "bone",
    2: "abdomen",
    3: "mediastinum",
    4: "liver",
    5: "lung",
    6: "kidney",
    7: "soft tissue",
    8: "pelvis",
}


def matches(path: Path, start: bytes) -> bool:
    """Say whether a file begins like `DL_info.csv`."""
    return b"Measurement_coordinates" in start.split(b"\n", 1)[0]


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Read the table; see `data_prep.read_bookmarks`."""
    rows = rows_of(read_text(path, name), name)
    row_number, header = next(rows)
    if isinstance(header, DataError):
        raise header
    columns = [cell.strip() for cell in header]
    missing = [c for c in NEEDED if c not in columns]
    if missing or len(set(columns)) != len(columns):
        raise DataError(
            f"Expected the columns of DeepLesion's DL_info.csv once each but got no "
            f"{', '.join(missing) or 'single ones'}. Take the file as published.",
            path=name,
            row=row_number,
        )
    result, noisy = ReadResult(), []
    block_of = _Blocks(options.images)
    for row_number, cells in rows:
        row = {}
        try:
            if isinstance(cells, DataError):
                raise cells
            row = dict_of(columns, cells)
            if row.get("Possibly_noisy", "0") not in ("", "0"):
                noisy.append(_volume(row))
                continue
            record = _record(row, name, row_number)
            result.records.append(replace(record, volume=block_of.volume(record)))
        except DataError as error:
            result.refuse(DataError(error.message, path=name, row=row_number), _volume(row))
    if noisy:
        result.notes.append(f"{name}: rows marked as possibly noisy are left out ({len(noisy)}).")
        result.incomplete_volumes.update(filter(None, noisy))
    if not result.records and not result.errors and not noisy:
        raise DataError("Expected bookmarks but got only a header. Fill the table.", path=name)
    return result


class _Blocks:
    """The block of slices that a bookmark lies in, where the numbers of its folder have gaps."""

    def __init__(self, images: VolumeIndex | None) -> None:
        self._images = images
        self._of_folder: dict[str, list[tuple[int, int]]] = {}

    def volume(self, record: BookmarkRecord) -> str:
        """Return the volume of a record, which names the folder."""
        folder, number = record.volume, record.slice_number
        if folder not in self._of_folder:
            self._of_folder[folder] = self._blocks(folder)
        there = self._of_folder[folder]
        for block in there if len(there) > 1 else ():
            if block[0] <= number <= block[1]:
                return deeplesion_png.part_name(folder, block, there)
        if len(there) > 1:
            raise DataError(
                f"Expected slice {number} of {folder} but got a folder without. Add the slice or "
                "leave the row out."
            )
        return folder

    def _blocks(self, folder: str) -> list[tuple[int, int]]:
        if self._images is None:
            return []
        try:
            return deeplesion_png.blocks(resolve_under(self._images, folder), folder)
        except (DataError, OSError):  # whoever reads the volume says so
            return []


def _volume(row: dict[str, str]) -> str | None:
    """Return the volume of a row that is not read, if that can be told."""
    try:
        return check_relative(row.get("File_name", "").rpartition("_")[0])
    except DataError:
        return None


def _record(row: dict[str, str], name: str, row_number: int) -> BookmarkRecord:
    folder, _, slice_name = row["File_name"].rpartition("_")
    stem = slice_name.removesuffix(".png")
    if not folder or not (stem.isascii() and stem.isdigit() and len(stem) < 10):
        raise DataError(
            f"Expected a name such as 000089_01_01_037.png but got {quoted(row['File_name'])}. "
            "Correct the cell."
        )
    cells = [c.strip() for c in row["Measurement_coordinates"].split(",")]
    if len(cells) not in (4, 8):
        raise DataError(
            f"Expected 8 coordinates (4 points) but got {len(cells)}. Correct the cell."
        )
    points = np.array([number(c, "Measurement_coordinates") for c in cells]).reshape(-1, 2)
    spacing = None
    if row.get("Spacing_mm_px_"):
        values = [number(c, "Spacing_mm_px_") for c in row["Spacing_mm_px_"].split(",")]
        if len(values) != 3 or min(values) <= 0:
            raise DataError(
                "Expected 3 positive numbers in Spacing_mm_px_ but got "
                f"{quoted(row['Spacing_mm_px_'])}. Correct the cell."
            )
        spacing = tuple(values)
    split = row.get("Train_Val_Test", "")
    return BookmarkRecord(
        volume=check_relative(folder),
        points=points - 1,
        patient=row["Patient_index"] or None,
        site=SITES.get(whole_number(row.get("Coarse_lesion_type") or "-1", "Coarse_lesion_type")),
        split=SPLITS.get(whole_number(split, "Train_Val_Test")) if split else None,
        file=name,
        row=row_number,
        slice_number=int(stem),
        spacing_mm=spacing,
        shape="cross" if len(cells) == 8 else "line",
        drawn="" if len(cells) == 8 else "long axis",
    )
