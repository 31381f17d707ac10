"""Our own bookmark table: one row per lesion, pixels of stored slices or patient millimetres.

Columns (any order; UTF-8, commas between cells, points in numbers):

* ``volume``: path below the image folder; ``folder#UID`` names one DICOM series of a folder.
* Pixels: ``slice`` (0-based stored slice) and ``long_x1, long_y1, long_x2, long_y2, short_x1,
  short_y1, short_x2, short_y2``. ``origin=1`` reads 1-based pixels and slices.
* Millimetres: ``long_x1_mm, long_y1_mm, long_z1_mm, … short_z2_mm`` and the column or option
  ``frame``: LPS or RAS.
* Optional: ``site`` (or ``structure``), ``patient``, ``split``, ``series_uid``.
"""

from __future__ import annotations

import csv
import math
import warnings
from pathlib import Path

import numpy as np

from data_prep.errors import DataError, quoted
from data_prep.paths import check_relative
from data_prep.readers.record import BookmarkRecord

_ENDS = [("long", 1), ("long", 2), ("short", 1), ("short", 2)]
PIXEL_COLUMNS = [f"{axis}_{c}{n}" for axis, n in _ENDS for c in "xy"]
MM_COLUMNS = [f"{axis}_{c}{n}_mm" for axis, n in _ENDS for c in "xyz"]
OPTIONAL_COLUMNS = ("site", "structure", "patient", "split", "frame", "series_uid")
SPLITS = ("train", "val", "test")


def read(
    path: Path, name: str, *, origin: int = 0, frame: str | None = None
) -> tuple[list[BookmarkRecord], list[DataError]]:
    """Read the table.

    Args:
        path: CSV file.
        name: How messages call it.
        origin: 0 or 1: the number of the first pixel and slice. Has no say over millimetres.
        frame: LPS or RAS, for tables in mm without a ``frame`` column.

    Returns:
        Good rows, and one error for each bad one.

    Raises:
        DataError: If the file as a whole is no such table.
    """
    lines = read_text(path, name)
    rows = csv.reader(lines)
    header = next_row(rows, name, 1)
    columns = [cell.strip().lower() for cell in header or []]
    _check_header(columns, header, name, frame)
    records, errors, seen = [], [], {}
    while True:
        row_number = rows.line_num + 1
        try:
            cells = next_row(rows, name, row_number)
            if cells is None:
                break
            if not any(cell.strip() for cell in cells):
                continue
            record = _record(dict_of(columns, cells), name, row_number, origin, frame)
            key = (record.volume, record.slice_index, record.frame, record.points.tobytes())
            if key in seen:
                raise DataError(
                    f"Expected each bookmark once, but got a copy of row {seen[key]}. Remove it."
                )
            seen[key] = row_number
            records.append(record)
        except DataError as error:
            errors.append(DataError(error.message, path=name, row=row_number))
    if not records and not errors:
        raise DataError("Expected bookmarks, but got only a header. Fill the table.", path=name)
    return records, errors


def read_text(path: Path, name: str) -> list[str]:
    """Return the lines of a text file; bytes that are no UTF-8 stay as lone surrogates."""
    try:
        data = path.read_bytes()
    except OSError:
        raise DataError(
            "Expected a readable file, but the system refuses it. Check that it exists and may be "
            "read.",
            path=name,
        ) from None
    if not data.strip():
        raise DataError("Expected a table, but got an empty file. Export it again.", path=name)
    if b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            "Expected UTF-8 text, but got binary data or UTF-16. Save it as CSV in UTF-8.",
            path=name,
        )
    text = data.decode("utf-8-sig", errors="surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def next_row(rows, name: str, row_number: int) -> list[str] | None:
    """Return the next row of a csv reader, None at the end."""
    try:
        cells = next(rows, None)
    except csv.Error:
        raise DataError(
            "Expected cells of a table, but got one too long or broken. Correct the quotes.",
            path=name,
            row=row_number,
        ) from None
    if cells is not None and any("\udc80" <= c <= "\udcff" for cell in cells for c in cell):
        raise DataError(
            "Expected UTF-8 text, but got bytes of another encoding (Latin-1?). Save the file as "
            "UTF-8.",
            path=name,
            row=row_number,
        )
    return cells


def dict_of(columns: list[str], cells: list[str]) -> dict[str, str]:
    """Return a row as a dict; raise if it has another number of cells than the header."""
    if len(cells) != len(columns):
        raise DataError(
            f"Expected {len(columns)} cells, but got {len(cells)}. Check for missing cells and "
            "decimal commas."
        )
    return dict(zip(columns, (cell.strip() for cell in cells), strict=True))


def number(text: str, column: str) -> float:
    """Return a finite number from a cell."""
    try:
        value = float(text)
    except ValueError:
        hint = "Write a decimal point." if "," in text else "Correct the cell."
        raise DataError(f"Expected a number in {column}, but got {quoted(text)}. {hint}") from None
    if not math.isfinite(value) or abs(value) > 1e6:
        raise DataError(f"Expected a number in {column}, but got {quoted(text)}. Correct the cell.")
    return value


def whole_number(text: str, column: str) -> int:
    """Return a whole number from a cell; ``12.0`` counts as one."""
    value = number(text, column)
    if value != int(value):
        raise DataError(
            f"Expected a whole number in {column}, but got {quoted(text)}. Correct the cell."
        )
    return int(value)


def _check_header(columns: list[str], header: list[str] | None, name: str, frame) -> None:
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        got = "semicolons" if ";" in columns[0] else "tabs"
        raise DataError(
            f"Expected commas between cells, but got {got}. Save the table with commas (and "
            "decimal points).",
            path=name,
            row=1,
        )
    wanted = PIXEL_COLUMNS if not any(c in MM_COLUMNS for c in columns) else MM_COLUMNS
    missing = [c for c in ("volume", *wanted) if c not in columns]
    if wanted is PIXEL_COLUMNS and "slice" not in columns:
        missing.append("slice")
    if wanted is MM_COLUMNS and "frame" not in columns and frame is None:
        missing.append("frame")
    if missing:
        raise DataError(
            f"Expected the columns volume, slice, long_x1 … short_y2, but got no "
            f"{', '.join(missing)}. Add what is missing.",
            path=name,
            row=1,
        )
    twice = sorted({c for c in columns if c and columns.count(c) > 1})
    if twice:
        raise DataError(
            f"Expected each column once, but got {quoted(twice[0])} twice. Remove one.",
            path=name,
            row=1,
        )
    known = {"volume", "slice", *PIXEL_COLUMNS, *MM_COLUMNS, *OPTIONAL_COLUMNS}
    extra = [c for c in columns if c not in known]
    if extra:
        shown = ", ".join(quoted(c) for c in extra[:5])
        warnings.warn(
            f"{name}, row 1: ignoring {len(extra)} unknown column(s): {shown}", stacklevel=2
        )


def _record(
    cells: dict[str, str], name: str, row: int, origin: int, frame: str | None
) -> BookmarkRecord:
    volume = check_relative(cells["volume"])
    if cells.get("series_uid"):
        volume = f"{volume}#{cells['series_uid']}"
    split = cells.get("split") or None
    if split is not None and split not in SPLITS:
        raise DataError(
            f"Expected train, val or test in split, but got {quoted(split)}. Correct the cell."
        )
    in_mm = "long_x1_mm" in cells
    columns = MM_COLUMNS if in_mm else PIXEL_COLUMNS
    filled = [c for c in columns if cells[c]]
    if len(filled) != len(columns):
        raise DataError(
            f"Expected 4 points ({len(columns)} coordinates), but got {len(filled)} coordinates. "
            "Fill in the rest."
        )
    points = np.array([number(cells[c], c) for c in columns]).reshape(4, -1)
    slice_index = None
    if in_mm:
        used = (cells.get("frame") or frame or "").upper()
        if used not in ("LPS", "RAS"):
            raise DataError(
                f"Expected the frame LPS or RAS, but got {quoted(used)}. State the frame of the mm."
            )
    else:
        used = "pixel"
        points = points - origin
        slice_index = whole_number(cells["slice"], "slice") - origin
    return BookmarkRecord(
        volume,
        points,
        used,
        slice_index,
        cells.get("patient") or None,
        cells.get("site") or cells.get("structure") or None,
        split,
        name,
        row,
    )
