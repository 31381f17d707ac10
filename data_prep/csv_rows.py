"""Text tables, cell by cell: encodings, numbers, and what to say when they are wrong."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

from data_prep.errors import DataError, quoted
from data_prep.limits import check_file, check_table

# Neither pixels, millimetres nor slices go beyond; larger numbers are damage.
MAX_NUMBER = 1_000_000


def read_bytes(path: Path, name: str) -> bytes:
    """Return a text file's bytes; an empty or unreadable file is an error."""
    check_file(path, name)
    try:
        data = path.read_bytes()
    except OSError:
        raise DataError(
            "Expected a readable file but the system refuses it. Check that it exists and may be "
            "read.",
            path=name,
        ) from None
    if not data.strip():
        raise DataError("Expected bookmarks but got an empty file. Export it again.", path=name)
    check_table(data, name)
    return data


def open_table(path: Path, errors: str = "strict") -> StringIO:
    """Return a table's text, UTF-8 with or without the byte order mark of a spreadsheet.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is in another encoding.
        DataError: It is a pipe, or too large.
    """
    check_file(path)
    data = path.read_bytes()
    check_table(data, path.name)
    return StringIO(data.decode("utf-8-sig", errors), newline="")


def read_text(path: Path, name: str) -> Iterator[str]:
    """Return the lines of a text file; bytes that are no UTF-8 stay as lone surrogates."""
    data = read_bytes(path, name)
    if b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            "Expected UTF-8 text but got binary data or UTF-16. Save it as CSV in UTF-8.",
            path=name,
        )
    text = TextIOWrapper(BytesIO(data), encoding="utf-8-sig", errors="surrogateescape")
    return (line.rstrip("\n") for line in text)


def rows_of(lines: Iterable[str], name: str) -> Iterator[tuple[int, list[str] | DataError]]:
    """Yield the 1-based first line and the cells of each row; for a broken row, the error."""
    rows = csv.reader(lines, strict=True)
    while True:
        row_number = rows.line_num + 1
        try:
            cells = _next_row(rows, name, row_number)
        except DataError as error:
            yield row_number, error
            continue
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield row_number, cells


def _next_row(rows, name: str, row_number: int) -> list[str] | None:
    try:
        cells = next(rows, None)
    except csv.Error:
        raise DataError(
            "Expected cells of a table but got one too long or broken. Correct the quotes.",
            path=name,
            row=row_number,
        ) from None
    if cells is not None and any("\udc80" <= c <= "\udcff" for cell in cells for c in cell):
        raise DataError(
            "Expected UTF-8 text but got bytes of another encoding (Latin-1?). Save the file as "
            "UTF-8.",
            path=name,
            row=row_number,
        )
    return cells


def dict_of(columns: list[str], cells: list[str]) -> dict[str, str]:
    """Return a row as a dict; raise if it has another number of cells than the header."""
    if len(cells) != len(columns):
        raise DataError(
            f"Expected {len(columns)} cells but got {len(cells)}. Check for missing cells and "
            "decimal commas."
        )
    return dict(zip(columns, (cell.strip() for cell in cells), strict=True))


def number(text: str, column: str) -> float:
    """Return a finite number from a cell."""
    try:
        value = float("" if "_" in text else text)  # Python would take 1_0 for ten
    except ValueError:
        hint = "Write a decimal point." if "," in text else "Correct the cell."
        raise DataError(f"Expected a number in {column} but got {_shown(text)}. {hint}") from None
    if not abs(value) <= MAX_NUMBER:
        wanted = "a number" if math.isnan(value) else f"at most ±{MAX_NUMBER}"
        raise DataError(f"Expected {wanted} in {column} but got {quoted(text)}. Correct the cell.")
    return value


def _shown(text: str) -> str:
    """Return what stands in a cell if it is like a number; other text may be a patient's name."""
    return quoted(text) if re.fullmatch(r"[-+0-9.,_eE ]*", text) else "text"


def whole_number(text: str, column: str) -> int:
    """Return a whole number from a cell; `12.0` counts as one."""
    value = number(text, column)
    if value != int(value):
        raise DataError(
            f"Expected a whole number in {column} but got {quoted(text)}. Correct the cell."
        )
    return int(value)
