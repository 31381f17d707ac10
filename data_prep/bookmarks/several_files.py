"""Several bookmark files of one run: the bookmarks, then what readers corrected later."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.bookmarks.read_bookmarks import options_of, read_bookmarks
from data_prep.bookmarks.record import ReadResult
from data_prep.csv_rows import dict_of, read_text, rows_of
from data_prep.errors import DataError
from data_prep.paths import without_series
from data_prep.volumes.search.volume_index import VolumeIndex


def read_with_reviews(
    path: str | os.PathLike,
    reviews: Sequence[str | os.PathLike],
    images: VolumeIndex,
    *,
    ids: str | os.PathLike | None = None,
    **options,
) -> ReadResult:
    """Read bookmarks and the reviews that come after them.

    Args:
        path: The bookmarks.
        reviews: Tables that later readers exported, the newest last.
        images: The folder of the volumes.
        ids: Table of pseudonyms and volumes, of `--ids`, if volumes are called by pseudonyms.
        **options: Of the bookmarks alone, see `read_bookmarks`.

    Returns:
        All records; `layer` tells which file a record is from.

    Raises:
        DataError: A file as a whole cannot be read.
    """
    names = {} if ids is None else read_ids(Path(ids), images.root)
    result = ReadResult()
    for layer, file in enumerate((path, *reviews)):
        given = {} if layer else dict(options)
        if names and "names" in options_of(file, given.get("format", "auto")):
            given["names"] = names
        read = read_bookmarks(file, image_root=images, **given)
        for kind in ("records", "ignored", "rejected"):
            setattr(read, kind, [replace(record, layer=layer) for record in getattr(read, kind)])
        result.add(read)
    return result


def read_ids(path: Path, root: Path) -> dict[str, str]:
    """Read which pseudonym stands for which volume.

    Args:
        path: Table with the columns `volume_id` and `volume`.
        root: Folder of the volumes.

    Returns:
        Paths relative to the folder by pseudonym; volumes outside of it are left out.
    """
    rows = rows_of(read_text(path, path.name), path.name)
    found: dict[str, str] = {}
    columns: list[str] = []
    for row, cells in rows:
        if isinstance(cells, DataError):
            raise cells
        if not columns:
            columns = [cell.strip().lower() for cell in cells]
            if not {"volume_id", "volume"} <= set(columns):
                raise DataError(
                    "Expected the columns volume_id and volume but got others. Name the table that"
                    " --ids wrote.",
                    path=path.name,
                    row=row,
                )
            continue
        values = dict_of(columns, cells)
        volume = _below(values["volume"], root)
        if volume is not None:
            found[values["volume_id"]] = volume
    return found


def _below(volume: str, root: Path) -> str | None:
    """Return the path of a volume relative to the folder; None if it is not in it."""
    stated = without_series(volume)
    series = volume[len(stated) :]
    for place in (root / stated, Path(stated)):
        try:
            inside = os.path.relpath(os.path.abspath(place), os.path.abspath(root))
        except ValueError:  # another drive
            continue
        if place.exists() and not inside.startswith(".."):
            return Path(inside).as_posix() + series
    return None
