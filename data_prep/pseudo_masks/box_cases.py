"""Lesions of which only the bounds are known: a table of boxes on single images."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_prep.bookmarks.recist import Bookmark
from data_prep.csv_rows import open_table
from data_prep.errors import DataError
from data_prep.paths import resolve_under
from data_prep.pseudo_masks.cases import Case, Selection, disturb


@dataclass(frozen=True)
class BoxRow:
    """A row of a table of boxes: columns `file, x1, y1, x2, y2`, and `patient` for clusters."""

    table: str
    number: int
    cells: dict[str, str]


def read_boxes(table: Path) -> list[BoxRow]:
    """Read a table of boxes.

    Raises:
        DataError: the file is unreadable, has no row, or lacks a column.
    """
    try:
        with open_table(table) as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"Expected a CSV table in UTF-8 but got: {error.__class__.__name__}. Correct --boxes.",
            path=table.name,
        ) from None
    missing = {"file", "x1", "y1", "x2", "y2"} - set(rows[0] if rows else ())
    if missing:
        raise DataError(
            "Expected rows with the columns file, x1, y1, x2, y2 but got no "
            f"{', '.join(sorted(missing))}. Correct the table.",
            path=table.name,
        )
    return [BoxRow(table.name, number, cells) for number, cells in enumerate(rows, start=2)]


def from_box(row: BoxRow, root: Path, margin: float, one_based: bool, select: Selection) -> Case:
    """Make a lesion of which only the bounds are known, on an 8-bit or 16-bit image.

    The bookmark is *assumed*: the two centre lines of the box, the longer one as long axis. Real
    axes are seldom parallel to the image's, so this says how well boxes are kept, not how well
    lesions are outlined.

    Args:
        row: its numbers are coordinates of pixel centres.
        root: folder of the images.
        margin: pixels that the box is wider than the bookmark on every side.
        one_based: Its numbers count pixels from 1.
        select: its noise is used.

    Raises:
        DataError: the row or its image is not as expected.
    """
    cells = row.cells
    try:
        x1, y1, x2, y2 = (float(cells[key]) - one_based for key in ("x1", "y1", "x2", "y2"))
    except (TypeError, ValueError):
        raise DataError(
            "Expected four numbers for the box but got something else. Correct the row.",
            path=row.table,
            row=row.number,
        ) from None
    x1, y1, x2, y2 = x1 + margin, y1 + margin, x2 - margin, y2 - margin
    file = resolve_under(root, cells["file"])
    image = cv2.imread(str(file), cv2.IMREAD_ANYDEPTH) if file.is_file() else None
    if image is None or not (0 <= x1 < x2 < image.shape[1] and 0 <= y1 < y2 < image.shape[0]):
        found = "no image" if image is None else f"one of {image.shape[1]} x {image.shape[0]}"
        raise DataError(
            f"Expected an image {cells['file']} that holds the box but got {found}. Correct the "
            "row.",
            path=row.table,
            row=row.number,
        )
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    lines = [np.array(((x1, y), (x2, y))), np.array(((x, y1), (x, y2)))]
    lines.sort(key=lambda line: -np.ptp(line))
    return Case(
        volume=cells["file"],
        slice_index=0,
        label=row.number,
        part=1,
        cluster=cells.get("patient") or cells["file"],
        image=image,
        gt_mask=None,
        box=(x1, y1, x2 + 1, y2 + 1),
        bookmark=disturb(Bookmark(*lines), select, (cells["file"], row.number)),
        spacing_mm=(1.0, 1.0),
    )
