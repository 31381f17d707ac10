"""RECIST bookmarks as a reader would set them on a set of voxel masks: one per lesion."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep import atomic_files
from data_prep.bookmarks.csv_table import PIXEL_COLUMNS
from data_prep.bookmarks.recist import Bookmark, measure

COLUMNS = ("volume", "patient", "slice", *PIXEL_COLUMNS)


def key_slice_bookmarks(
    labels: np.ndarray, name: str, noise: float = 0.05, seed: int = 0
) -> Iterator[tuple[int, Bookmark]]:
    """Measure each lesion once, on the slice where it covers the most pixels.

    Where a lesion falls into several pieces on that slice, the largest is measured.

    Args:
        labels: `(Z, Y, X)`, one number per lesion, 0 is background.
        name: Of the volume; with `seed` and the label it decides the noise, so that a lesion more
            or less changes no other bookmark.
        noise: Standard deviation of each coordinate, as a share of the short axis.
        seed: Of the noise.

    Yields:
        Slice index and bookmark (pixels) of each lesion, by rising label. Pieces too small for two
        axes are left out.
    """
    for label in np.unique(labels[labels > 0]).tolist():
        lesion = labels == label
        z = int(np.argmax(lesion.sum(axis=(1, 2))))
        bookmark = measure(_largest_piece(lesion[z]))
        if bookmark.short_length() < 1:
            continue
        yield z, _unsteady(bookmark, noise, (name, label, seed), lesion.shape[:0:-1])


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, pieces, range(1, count + 1))
    return pieces == 1 + int(np.argmax(sizes))


def _unsteady(
    bookmark: Bookmark, noise: float, key: tuple[str, int, int], size: tuple[int, ...]
) -> Bookmark:
    """Move the end points at random; the axes swap names where the short one became longer."""
    name, label, seed = key
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), label))
    points = bookmark.points() + rng.normal(0, noise * bookmark.short_length(), (4, 2))
    points = np.clip(points, 0, np.array(size) - 1)
    moved = Bookmark(points[:2], points[2:])
    if moved.short_length() > moved.long_length():
        return Bookmark(points[2:], points[:2])
    return moved


def write_bookmarks(path: Path, rows: Iterable[tuple[str, str, int, Bookmark]]) -> int:
    """Write the table that `prepare --bookmarks` reads.

    Args:
        path: The CSV file.
        rows: Volume, patient, slice index and bookmark (pixels).

    Returns:
        Number of rows.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    count = 0
    for volume, patient, z, bookmark in rows:
        points = [f"{value:.2f}" for value in bookmark.points().ravel().tolist()]
        table.writerow([volume, patient, z, *points])
        count += 1
    atomic_files.write_text(path, text.getvalue())
    return count
