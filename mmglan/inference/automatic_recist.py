"""RECIST axes of a predicted mask, below the size of a pixel.

`recist.measure` joins centres of pixels, as bookmarks on masks are defined. A predicted mask has a
probability per pixel: its outline is drawn where that is one half, between the pixel centres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_prep.bookmarks.recist import Bookmark, measure_points


def measure_soft_mask(
    probability: np.ndarray, spacing_xy: Sequence[float] = (1.0, 1.0), level: float = 0.5
) -> Bookmark | None:
    """Measure the axes of the outline at `level`.

    Args:
        probability: `(H, W)` from 0 to 1; a bool mask counts as 0 and 1.
        spacing_xy: Pixel spacing (x, y) in mm; longest and perpendicular hold in mm.
        level: Where the outline runs.

    Returns:
        The axes, end points (x, y) in pixels; None where no pixel reaches the level.

    Examples:
        A single pixel has an outline half a pixel away from its centre.

        >>> import numpy as np
        >>> mask = np.zeros((5, 5)); mask[2, 2] = 1
        >>> measure_soft_mask(mask).long_length()
        1.0
    """
    height, width = np.shape(probability)
    values = np.zeros((height + 2, width + 2))
    values[1:-1, 1:-1] = probability
    if not (values > level).any():
        return None
    return measure_points(_crossings(values, level) - 1.0, spacing_xy)


def _crossings(values: np.ndarray, level: float) -> np.ndarray:
    """Return `(N, 2)` points (x, y) where the outline at `level` crosses the lines of the grid.

    The outline is straight between them (marching squares), so they hold its convex hull.
    """
    rows, columns = (_crossings_of_rows(part, level) for part in (values, values.T))
    return np.concatenate([rows, columns[:, ::-1]])


def _crossings_of_rows(values: np.ndarray, level: float) -> np.ndarray:
    above = values > level
    y, x = np.nonzero(above[:, 1:] != above[:, :-1])
    left, right = values[y, x], values[y, x + 1]
    return np.column_stack([x + (level - left) / (right - left), y])
