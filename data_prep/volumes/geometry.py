"""Where voxels lie: the stored grid, and the axial LPS grid made from it without resampling.

Axial LPS means: x to the patient's left, y to the back, z to the head. A stored grid of any
orientation is brought there by permuting and flipping axes only. An oblique grid keeps its tilt.
No voxel is interpolated, so results go back exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from operator import getitem

import numpy as np

from data_prep.errors import DataError


@dataclass(frozen=True)
class Grid:
    """The grid on which a volume is stored.

    Args:
        size: Voxels along the stored axes (i, j, k).
        spacing: Voxel size in mm along (i, j, k).
        origin: Centre of voxel (0, 0, 0) in mm, LPS.
        direction: Nine cosines, row by row; column `a` is the direction of stored axis `a`.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    def check(self, path: str) -> None:
        """Raise DataError unless the numbers describe a right-angled grid."""
        values = np.array([*self.spacing, *self.origin, *self.direction], dtype=float)
        if not np.isfinite(values).all():
            raise DataError(
                "Expected a finite geometry but got NaN or infinity in the header. Repair the "
                "header.",
                path=path,
            )
        if min(self.spacing) <= 0:
            shown = " x ".join(f"{s:g}" for s in self.spacing)
            raise DataError(
                f"Expected a positive spacing but got {shown} mm. Repair the header.", path=path
            )
        cosines = self._cosines
        if np.abs(cosines.T @ cosines - np.eye(3)).max() > 1e-3:
            raise DataError(
                "Expected axes at right angles but got a sheared grid. Resample it to a "
                "right-angled one.",
                path=path,
            )

    @cached_property
    def _cosines(self) -> np.ndarray:
        return np.array(self.direction, dtype=float).reshape(3, 3)

    @cached_property
    def axes(self) -> tuple[int, int, int]:
        """The stored axis that becomes the axial x, y, z axis: the nearest ones, one to one."""
        strength = np.abs(self._cosines).tolist()
        x, y, z = max(
            permutations(range(3)), key=lambda p: round(sum(map(getitem, strength, p)), 9)
        )
        return x, y, z

    @cached_property
    def flipped(self) -> tuple[bool, bool, bool]:
        """Whether axial x, y, z runs against its stored axis."""
        x, y, z = (bool(self._cosines[a, s] < 0) for a, s in enumerate(self.axes))
        return x, y, z

    @cached_property
    def _last(self) -> np.ndarray:
        """The last axial index (x, y, z)."""
        return np.array([self.size[s] - 1 for s in self.axes], dtype=float)

    @property
    def axial_shape(self) -> tuple[int, int, int]:
        """Shape `(Z, Y, X)` of the axial array."""
        x, y, z = (self.size[s] for s in self.axes)
        return z, y, x

    @property
    def axial_spacing(self) -> tuple[float, float, float]:
        """Spacing in mm along axial (x, y, z)."""
        x, y, z = (float(self.spacing[s]) for s in self.axes)
        return x, y, z

    def to_axial(self, stored: np.ndarray) -> np.ndarray:
        """Return the axial `(Z, Y, X)` array of a stored `(k, j, i)` array."""
        x, y, z = self.axes
        axial = stored.transpose(2 - z, 2 - y, 2 - x)
        flips = tuple(2 - a for a in range(3) if self.flipped[a])
        return np.ascontiguousarray(np.flip(axial, flips))

    def to_stored(self, axial: np.ndarray) -> np.ndarray:
        """Return the stored `(k, j, i)` array of an axial `(Z, Y, X)` array: the inverse."""
        flips = tuple(2 - a for a in range(3) if self.flipped[a])
        x, y, z = self.axes
        order = np.argsort([2 - z, 2 - y, 2 - x])
        return np.ascontiguousarray(np.flip(axial, flips).transpose(order))

    def axial_index(self, stored_index: np.ndarray) -> np.ndarray:
        """Map stored indices `(N, 3)` (i, j, k) to axial ones `(N, 3)` (x, y, z)."""
        index = np.asarray(stored_index, dtype=float)[:, list(self.axes)]
        return np.where(self.flipped, self._last - index, index)

    def stored_index(self, axial_index: np.ndarray) -> np.ndarray:
        """Map axial indices `(N, 3)` (x, y, z) to stored ones `(N, 3)` (i, j, k)."""
        index = np.asarray(axial_index, dtype=float)
        unflipped = np.where(self.flipped, self._last - index, index)
        return unflipped[:, np.argsort(self.axes)]

    def stored_index_of_mm(self, points_lps: np.ndarray) -> np.ndarray:
        """Map points `(N, 3)` in mm (LPS) to stored indices `(N, 3)`."""
        away = np.asarray(points_lps, dtype=float) - np.array(self.origin)
        return np.linalg.solve(self._cosines, away.T).T / np.array(self.spacing)

    def mm_of_stored_index(self, stored_index: np.ndarray) -> np.ndarray:
        """Map stored indices `(N, 3)` to points `(N, 3)` in mm (LPS)."""
        steps = np.asarray(stored_index, dtype=float) * np.array(self.spacing)
        return steps @ self._cosines.T + np.array(self.origin)

    def difference_from(self, other: Grid) -> str | None:
        """Say in a few words how the axial grid differs from another's; None if it does not.

        Corners may differ by a quarter of the smallest voxel edge: no voxel is then nearer to
        another one's place. PI-CAI's own masks lie up to 0.056 mm off their images of 0.5 mm.
        """
        if self.axial_shape != other.axial_shape:
            a, b = (" x ".join(map(str, g.axial_shape[::-1])) for g in (other, self))
            return f"{a} voxels but got {b}"
        worst = self.corners_apart(other)
        if not worst <= 0.25 * min(other.spacing):
            return f"the same position but got corners up to {worst:.4g} mm apart"
        return None

    def advice_for(self, image: Grid) -> str:
        """Say how a mask on this grid gets onto that of its image, in one sentence."""
        if self.size != image.size:
            return "Resample the mask to the image, to the nearest voxel."
        return (
            "If it was drawn on these voxels and lost its place, copy the image's to it"
            " (SimpleITK: mask.CopyInformation(image)), otherwise resample the mask to the image."
        )

    def corners_apart(self, other: Grid) -> float:
        """Return the largest distance in mm between the corners of two grids of one axial size."""
        corners = np.array(
            [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
        ) * np.subtract(self.axial_shape[::-1], 1)
        mine, its = (g.mm_of_stored_index(g.stored_index(corners)) for g in (self, other))
        return float(np.linalg.norm(mine - its, axis=1).max())
