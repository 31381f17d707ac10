"""Bookmarks in: every format becomes a list of `BookmarkRecord`, which `place` puts on a slice."""

from __future__ import annotations

import os
from pathlib import Path

from data_prep.errors import DataError
from data_prep.paths import relative_name
from data_prep.readers import csv_table
from data_prep.readers.placing import PlacedBookmark, place
from data_prep.readers.record import BookmarkRecord

__all__ = ["BookmarkRecord", "PlacedBookmark", "place", "read_bookmarks"]

_READERS = {"csv": csv_table.read}


def read_bookmarks(
    path: str | os.PathLike, *, format: str = "auto", **options
) -> tuple[list[BookmarkRecord], list[DataError]]:
    """Read a bookmark file.

    Returns:
        The good records, and one error for each bad row; a bad row does not stop the rest.

    Raises:
        DataError: If the file as a whole can not be read.
    """
    path = Path(path)
    name = relative_name(path)
    return _READERS["csv" if format == "auto" else format](path, name, **options)
