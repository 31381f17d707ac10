"""RECIST bookmarks as a reader would set them on a set of voxel masks: one per lesion."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep import atomic_files
from data_prep.bookmarks.formats.csv_table import MM_COLUMNS, PIXEL_COLUMNS
from data_prep.bookmarks.locate import shape_fault
from data_prep.bookmarks.recist import Bookmark, measure

COLUMNS = ("volume", "patient", "slice", *PIXEL_COLUMNS)
_DRAWS, _DECIMALS = 100, 2
COLUMNS_IN_MM = ("volume", "patient", "frame", "status", *MM_COLUMNS)


def key_slice_bookmarks(
    labels: np.ndarray,
    name: str,
    noise: float = 0.05,
    seed: int = 0,
    spacing_xy: Sequence[float] = (1.0, 1.0),
) -> Iterator[tuple[int, Bookmark]]:
    """Measure each lesion once, on the slice where it covers the most pixels.

    Where a lesion falls into several pieces on that slice, the largest is measured.

    Args:
        labels: `(Z, Y, X)`, one number per lesion, 0 is background.
        name: Of the volume; with `seed` and the label it decides the noise, so that a lesion more
            or less changes no other bookmark.
        noise: Standard deviation of each coordinate, as a share of the short axis. Axes that
            `prepare` would refuse are drawn again.
        seed: Of the noise.
        spacing_xy: Pixel spacing (x, y); the axes are those in mm.

    Yields:
        Slice index and bookmark (pixels) of each lesion, by rising label. Pieces too small for two
        axes are left out.
    """
    for label in np.unique(labels[labels > 0]).tolist():
        lesion = labels == label
        z = int(np.argmax(lesion.sum(axis=(1, 2))))
        bookmark = measure(_largest_piece(lesion[z]), spacing_xy)
        if bookmark.short_length() < 1:
            continue
        key = (name, seed, label)
        yield z, _unsteady(bookmark, noise, key, lesion.shape[:0:-1], spacing_xy)


def every_slice_bookmarks(
    labels: np.ndarray,
    name: str,
    noise: float = 0.05,
    seed: int = 0,
    spacing_xy: Sequence[float] = (1.0, 1.0),
) -> Iterator[tuple[int, Bookmark]]:
    """Measure each piece of each lesion on every slice: full annotation, for comparison.

    Arguments, yields and what is left out are as of `key_slice_bookmarks`.
    """
    for label in np.unique(labels[labels > 0]).tolist():
        lesion = labels == label
        for z in np.flatnonzero(lesion.any(axis=(1, 2))).tolist():
            pieces, count = ndimage.label(lesion[z], np.ones((3, 3)))
            for piece in range(1, count + 1):
                bookmark = measure(pieces == piece, spacing_xy)
                if bookmark.short_length() >= 1:
                    key = (name, seed, label, z, piece)
                    yield z, _unsteady(bookmark, noise, key, lesion.shape[:0:-1], spacing_xy)


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, pieces, range(1, count + 1))
    return pieces == 1 + int(np.argmax(sizes))


def _unsteady(
    bookmark: Bookmark,
    noise: float,
    key: Sequence,
    size: tuple[int, ...],
    spacing_xy: Sequence[float],
) -> Bookmark:
    """Move the end points at random; the axes swap names where the short one became longer."""
    name, seed, *place = key
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), *place))
    for _ in range(_DRAWS):
        points = bookmark.points() + rng.normal(0, noise * bookmark.short_length(), (4, 2))
        points = np.clip(points, 0, np.array(size) - 1)
        written = Bookmark(*np.split(points.round(_DECIMALS), 2))
        if written.short_length(spacing_xy) > written.long_length(spacing_xy):
            written, points = Bookmark(written.short_axis, written.long_axis), points[[2, 3, 0, 1]]
        if shape_fault(written, spacing_xy) is None:
            return Bookmark(*np.split(points, 2))
    return bookmark


def write_bookmarks(path: Path, rows: Iterable[tuple[str, str, int, Bookmark]]) -> int:
    """Write the table that `prepare --bookmarks` reads.

    Args:
        path: The CSV file.
        rows: Volume, patient, slice index and bookmark (pixels).

    Returns:
        Number of rows.
    """
    table = [
        [
            volume,
            patient,
            z,
            *(f"{value:.{_DECIMALS}f}" for value in bookmark.points().ravel().tolist()),
        ]
        for volume, patient, z, bookmark in rows
    ]
    atomic_files.write_csv(path, COLUMNS, table)
    return len(table)


def row_in_mm(
    volume: str, patient: str, points_lps: np.ndarray | None = None, status: str = "lesion"
) -> list[str]:
    """Return a row of a table with `COLUMNS_IN_MM`; see `data_prep.bookmarks.formats.csv_table`.

    Args:
        volume: Path below the image folder.
        patient: Who it is of.
        points_lps: `(4, 3)` end points in mm (LPS), `(2, 3)` of a long axis alone, or None of a row
            for the whole volume.
        status: What a reader says of the place.
    """
    values = [] if points_lps is None else np.asarray(points_lps, dtype=float).ravel().tolist()
    cells = [f"{value:.3f}" for value in values]
    return [volume, patient, "LPS", status, *cells, *[""] * (len(MM_COLUMNS) - len(cells))]
