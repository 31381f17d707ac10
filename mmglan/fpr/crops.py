"""Crops around candidates: the same number of voxels whatever the size of the candidate.

D, S: slices and side of a crop in voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SLICES, SIDE = 9, 24
# Side of a crop relative to the longer side of the box, and its least side in pixels.
MARGIN, LEAST_SIDE = 2.0, 16.0


@dataclass(frozen=True)
class Jitter:
    """Random changes of a crop while training.

    Attributes:
        shift: `(3,)` x, y, z relative to the box.
        scale: Of the side.
        mirror: Left and right exchanged.
    """

    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    mirror: bool = False

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Jitter:
        """Draw one."""
        shift = tuple(rng.uniform(-0.1, 0.1, 3).tolist())
        return cls(shift, float(rng.uniform(0.85, 1.2)), bool(rng.integers(2)))


def normalised(volume: np.ndarray) -> np.ndarray:
    """Return `(Z, Y, X)` float32 of mean 0 and standard deviation 1."""
    volume = volume.astype(np.float32)
    return (volume - volume.mean()) / max(float(volume.std()), 1e-6)


def crop(volume: np.ndarray, box: np.ndarray, jitter: Jitter | None = None) -> np.ndarray:
    """Sample a volume around a candidate.

    The crop is a square twice as long as the longer side of the box, on slices that reach one
    depth of the box beyond its centre on either side, or next to each other where it is thin.

    Args:
        volume: `(Z, Y, X)` float32. Beyond its ends the last voxels are repeated.
        box: `(6,)` x1, y1, z1, x2, y2, z2 in voxels, upper corners where it ends.
        jitter: Random changes; None for none.

    Returns:
        `(2, D, S, S)` float32: grey values, and 1 inside the box.
    """
    jitter = jitter or Jitter()
    size = box[3:] - box[:3]
    centre = (box[:3] + box[3:]) / 2 - 0.5 + np.array(jitter.shift) * size
    side = max(MARGIN * size[:2].max(), LEAST_SIDE) * jitter.scale
    depth = max((SLICES - 1) / 2, size[2] * jitter.scale)
    across = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    x = centre[0] + side * (across[::-1] if jitter.mirror else across)
    y, z = centre[1] + side * across, centre[2] + depth * np.linspace(-1, 1, SLICES)
    grid = np.meshgrid(z, y, x, indexing="ij")
    grey = ndimage.map_coordinates(volume, grid, order=1, mode="nearest", output=np.float32)
    inside = [
        (axis >= low - 0.5) & (axis < high - 0.5)
        for axis, low, high in zip((z, y, x), box[[2, 1, 0]], box[[5, 4, 3]], strict=True)
    ]
    within = inside[0][:, None, None] & inside[1][:, None] & inside[2]
    return np.stack([grey, within.astype(np.float32)])
