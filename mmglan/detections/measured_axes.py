"""From two axes in pixels to the measurement that findings hold."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from data_prep.bookmarks.recist import Bookmark
from data_prep.volumes.volume import Volume
from mmglan.detections.findings import RecistMeasurement


def measurement_of(slice_index: int, axes: Bookmark, volume: Volume) -> RecistMeasurement:
    """Return axes on an axial slice in pixels and in mm of the patient.

    Args:
        slice_index: The axial slice.
        axes: End points (x, y) in its pixels.
        volume: The scan.
    """
    points = axes.points()
    lps = volume.to_patient_mm(np.column_stack([points, np.full(4, float(slice_index))]))
    pixels = [rounded(point) for point in points]
    mm = [rounded(point) for point in lps]
    return RecistMeasurement(
        slice_index=int(slice_index),
        long_axis=tuple(pixels[:2]),
        short_axis=tuple(pixels[2:]),
        long_axis_lps=tuple(mm[:2]),
        short_axis_lps=tuple(mm[2:]),
        long_axis_mm=round(axes.long_length(volume.spacing_mm[:2]), 4),
        short_axis_mm=round(axes.short_length(volume.spacing_mm[:2]), 4),
    )


def rounded(point: Iterable[float]) -> tuple[float, ...]:
    """Return coordinates with the four decimals of a findings file."""
    return tuple(round(float(value), 4) for value in point)
