"""From a measurement without two axes to the pixels that are to be ignored."""

from __future__ import annotations

import math

import numpy as np

from data_prep.bookmarks.locate import axial_points, slice_of
from data_prep.bookmarks.one_axis import region
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.volumes.volume import Volume


def ignore_regions(record: BookmarkRecord, volume: Volume) -> dict[int, np.ndarray]:
    """Return the pixels `(H, W)` to ignore, by axial slice.

    Raises:
        DataError: No such slice, points outside the volume, or a flat shape across slices.
    """
    points = axial_points(record, volume)
    depth, rows, columns = volume.array.shape
    if record.shape == "solid":
        low, high = points[:, 2].min(), points[:, 2].max()
        slices = range(max(0, math.floor(low + 0.5)), min(depth - 1, math.floor(high + 0.5)) + 1)
    else:
        slices = [slice_of(record, points)]
    pixels = region(record.shape, points[:, :2], volume.spacing_mm[:2], (columns, rows))
    return {z: pixels for z in slices} if pixels.any() else {}
