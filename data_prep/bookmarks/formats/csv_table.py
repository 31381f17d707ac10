"""Our own bookmark table: one row per lesion, pixels of stored slices or patient millimetres.

Columns (any order; UTF-8, commas between cells, points in numbers):

* `volume`: path below the image folder; `folder#UID` names one DICOM series of a folder.
* Pixels: `slice` (0-based stored slice) and `long_x1, long_y1, long_x2, long_y2, short_x1,
  short_y1, short_x2, short_y2`. The option `one_based` reads 1-based pixels and slices.
  Of DICOM, `instance_number` or `sop_instance_uid` may stand instead of `slice`.
* Millimetres: `long_x1_mm, long_y1_mm, long_z1_mm, … short_z2_mm` and the column or option
  `frame`: LPS or RAS.
* The short axis may be empty: such a row is a length, see `one_axis`.
* Optional: `site` (or `structure`), `patient`, `split`, `series_uid`.
* `status`, as a review writes it: `lesion` (or empty); `not-a-lesion`, a place that a reader has
  rejected; `ignore`, one that counts neither as lesion nor as background; `complete`, without
  coordinates: in this volume all lesions are marked.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.bookmarks.formats.dicom_objects import series_named
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.csv_rows import dict_of, number, read_text, rows_of, whole_number
from data_prep.errors import DataError, quoted
from data_prep.paths import check_relative

_ENDS = [("long", 1), ("long", 2), ("short", 1), ("short", 2)]
SLICE_COLUMNS = ("slice", "instance_number", "sop_instance_uid")
PIXEL_COLUMNS = [f"{axis}_{c}{n}" for axis, n in _ENDS for c in "xy"]
MM_COLUMNS = [f"{axis}_{c}{n}_mm" for axis, n in _ENDS for c in "xyz"]
OPTIONAL_COLUMNS = ("site", "structure", "patient", "split", "frame", "series_uid", "status")
# What a study page writes beside; not needed here.
REVIEW_COLUMNS = ("lesion", "score", "reason", "comment")
STATUSES = ("lesion", "not-a-lesion", "ignore", "complete")
OPTIONS = frozenset({"one_based", "frame", "names"})
SPLITS = ("train", "val", "test")


def matches(path: Path, start: bytes) -> bool:
    """Say whether a path may be such a table: any file may."""
    return path.is_file()


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Read the table; see `data_prep.read_bookmarks`."""
    rows = rows_of(read_text(path, name), name)
    row_number, header = next(rows)
    if isinstance(header, DataError):
        raise header
    columns = [cell.strip().lower() for cell in header]
    _check_header(columns, name, row_number, options)
    result = ReadResult(notes=_unknown_columns(columns, name, row_number))
    records, seen = result.records, {}
    for row_number, cells in rows:
        try:
            if isinstance(cells, DataError):
                raise cells
            filled = dict_of(columns, cells)
            status = _status(filled)
            if status == "complete":
                result.complete_volumes.add(_volume_of(filled, options))
                continue
            record = _record(filled, name, row_number, options)
            if status != "lesion":
                _not_a_bookmark(record, status, result)
                continue
            # Hashes take a third of the memory of what they stand for.
            key = hash(_identity(record))
            if key in seen and _identity(records[seen[key]]) == _identity(record):
                raise DataError(
                    "Expected each bookmark once but got a duplicate of row"
                    f" {records[seen[key]].row}. Remove it."
                )
            seen[key] = len(records)
            records.append(record)
        except DataError as error:
            error = DataError(error.message, path=name, row=row_number)
            result.refuse(error, _volume(columns, cells))
    marked = records or result.ignored or result.rejected or result.complete_volumes
    if not marked and not result.errors:
        raise DataError("Expected bookmarks but got only a header. Fill the table.", path=name)
    return result


def _volume(columns: list[str], cells: list[str] | DataError) -> str | None:
    """Return the volume of a broken row, if that can still be told."""
    at = columns.index("volume") if "volume" in columns else len(columns)
    if isinstance(cells, DataError) or (len(cells) != len(columns) and at > 0):
        return None
    if not cells[at : at + 1] or not cells[at].strip():
        return None
    try:
        return check_relative(cells[at].strip())
    except DataError:
        return None


def _identity(record: BookmarkRecord) -> tuple:
    slice_named = record.slice_index, record.slice_number, record.instance_uid
    return record.volume, slice_named, record.frame, record.points.tobytes()


def _check_header(columns: list[str], name: str, row: int, options: Options) -> None:
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        got = "semicolons" if ";" in columns[0] else "tabs"
        raise DataError(
            f"Expected commas between cells but got {got}. Save the table with commas (and "
            "decimal points).",
            path=name,
            row=row,
        )
    known = {"volume", *SLICE_COLUMNS, *PIXEL_COLUMNS, *MM_COLUMNS, *OPTIONAL_COLUMNS}
    if not known & set(columns):
        raise DataError(
            "Expected the names of the columns (volume, slice, long_x1 … short_y2) in the first row"
            " but got none of them. Remove the lines above the header.",
            path=name,
            row=row,
        )
    wanted = PIXEL_COLUMNS if not any(c in MM_COLUMNS for c in columns) else MM_COLUMNS
    missing = [c for c in wanted if c not in columns]
    if not {"volume", "series_uid"} & set(columns):
        missing.insert(0, "volume")
    named = [c for c in SLICE_COLUMNS if c in columns]
    if wanted is PIXEL_COLUMNS and not named:
        missing.append("slice")
    if len(named) > 1:
        raise DataError(
            f"Expected one column that names the slice but got {' and '.join(named)}. Keep one.",
            path=name,
            row=row,
        )
    if wanted is MM_COLUMNS and "frame" not in columns and options.frame is None:
        missing.append("frame")
    in_mm = wanted is MM_COLUMNS
    if (options.frame is not None and not in_mm) or (options.one_based and in_mm):
        option, kind = ("--one-based", "pixels") if in_mm else ("--frame", "mm")
        raise DataError(
            f"Expected a table in {kind} for {option} but got the columns of one in"
            f" {'mm' if in_mm else 'pixels'}. Leave the option out.",
            path=name,
            row=row,
        )
    if missing:
        raise DataError(
            f"Expected the columns volume, slice, long_x1 … short_y2 but got no "
            f"{', '.join(missing)}. Add what is missing.",
            path=name,
            row=row,
        )
    twice = sorted({c for c in columns if c and columns.count(c) > 1})
    if twice:
        raise DataError(
            f"Expected each column once but got {quoted(twice[0])} twice. Remove one.",
            path=name,
            row=row,
        )


def _unknown_columns(columns: list[str], name: str, row: int) -> list[str]:
    """Return a note if there are columns that mean nothing here."""
    known = {"volume", *SLICE_COLUMNS, *PIXEL_COLUMNS, *MM_COLUMNS, *OPTIONAL_COLUMNS}
    if "status" in columns:
        known |= {*REVIEW_COLUMNS}
    unknown = [c for c in columns if c not in known]
    shown = ", ".join(quoted(c) for c in unknown[:5])
    return (
        [f"{name}, row {row}: {len(unknown)} unknown columns are not used: {shown}."]
        if unknown
        else []
    )


def _status(cells: dict[str, str]) -> str:
    """Return what a row says of its place; a row for a whole volume has no coordinates."""
    status = cells.get("status") or "lesion"
    if status not in STATUSES:
        raise DataError(
            f"Expected {', '.join(STATUSES)} in status but got another value. Correct the cell."
        )
    filled = [c for c in (*PIXEL_COLUMNS, *MM_COLUMNS) if cells.get(c)]
    if status == "complete" and filled:
        raise DataError(
            f"Expected no coordinates in a row of status complete but got {len(filled)}. Clear"
            " them, or correct the status."
        )
    return status


def _not_a_bookmark(record: BookmarkRecord, status: str, result: ReadResult) -> None:
    """Sort a record among the places that were rejected or are to be ignored."""
    if status == "not-a-lesion":
        result.rejected.append(record)
    else:
        shape = "ellipse" if record.shape == "cross" else record.shape
        result.ignored.append(replace(record, shape=shape, drawn="not judged"))


def _volume_of(cells: dict[str, str], options: Options) -> str:
    uid = cells.get("series_uid")
    volume = cells.get("volume") or ""
    if volume or not uid:
        volume = check_relative(volume)
    if uid:
        if not re.fullmatch(r"[0-9.]{1,64}", uid):
            raise DataError(
                "Expected 1 to 64 digits and dots in series_uid but got others. Correct the cell."
            )
        volume = f"{volume}#{uid}" if volume else series_named(uid, options)
    return options.names.get(volume, volume)


def _record(cells: dict[str, str], name: str, row: int, options: Options) -> BookmarkRecord:
    volume = _volume_of(cells, options)
    split = cells.get("split") or None
    if split is not None and split not in SPLITS:
        raise DataError(
            "Expected train, val or test in split but got another value. Correct the cell."
        )
    in_mm = "long_x1_mm" in cells
    columns = MM_COLUMNS if in_mm else PIXEL_COLUMNS
    filled = [c for c in columns if cells[c]]
    # A row with the long axis only is a length, of which the caller decides.
    one_axis = filled == columns[: len(columns) // 2]
    if one_axis:
        columns = filled
    if len(filled) != len(columns):
        raise DataError(
            f"Expected 4 points ({len(columns)} coordinates) but got {len(filled)} coordinates. "
            "Fill in the rest."
        )
    points = np.array([number(cells[c], c) for c in columns]).reshape(2 if one_axis else 4, -1)
    named: dict[str, int | str] = {}
    if in_mm:
        frame = (cells.get("frame") or options.frame or "").upper()
        if frame not in ("LPS", "RAS"):
            raise DataError(
                "Expected the frame LPS or RAS but got another. State the frame of the mm."
            )
    else:
        frame = "pixel"
        points = points - options.one_based
        named = _slice(cells, options)
    return BookmarkRecord(
        volume,
        points,
        frame,
        patient=cells.get("patient") or None,
        site=cells.get("site") or cells.get("structure") or None,
        split=split,
        file=name,
        row=row,
        **named,
        shape="line" if one_axis else "cross",
        drawn="long axis" if one_axis else "",
    )


def _slice(cells: dict[str, str], options: Options) -> dict[str, int | str]:
    """Return how a row names its slice, as fields of a record."""
    if "instance_number" in cells:
        return {"slice_number": whole_number(cells["instance_number"], "instance_number")}
    if "sop_instance_uid" in cells:
        uid = cells["sop_instance_uid"]
        if not re.fullmatch(r"[0-9.]{1,64}", uid):
            raise DataError(
                "Expected 1 to 64 digits and dots in sop_instance_uid but got others. Correct the"
                " cell."
            )
        return {"instance_uid": uid}
    return {"slice_index": whole_number(cells["slice"], "slice") - options.one_based}
