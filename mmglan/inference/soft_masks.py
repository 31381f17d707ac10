"""Predicted masks kept small: the part of a slice that a mask covers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as mask_utils

from data_prep.bookmarks.recist import Bookmark
from mmglan.inference.automatic_recist import measure_soft_mask


@dataclass(frozen=True, eq=False)
class SoftMask:
    """The mask of a detection on one slice.

    Attributes:
        values: `(h, w)` uint8, 255 times the probability; outside of it the probability is 0.
        corner: Row and column of its first pixel in the slice.
        shape: `(H, W)` of the slice.
    """

    values: np.ndarray
    corner: tuple[int, int]
    shape: tuple[int, int]
    _kept: dict = field(default_factory=dict, init=False, repr=False)  # what was asked for before

    @classmethod
    def of(cls, mask: np.ndarray) -> SoftMask:
        """Cut a mask to what it covers.

        Args:
            mask: `(H, W)`, bool, or uint8 holding 255 times the probability.
        """
        mask = mask.astype(np.uint8) * 255 if mask.dtype == bool else np.asarray(mask, np.uint8)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return cls(np.zeros((0, 0), np.uint8), (0, 0), mask.shape)
        y, x = int(rows[0]), int(columns[0])
        part = mask[y : rows[-1] + 1, x : columns[-1] + 1]
        return cls(part.copy(), (y, x), mask.shape)

    def voxels(self) -> np.ndarray:
        """Return `(N, 2)` rows and columns of the pixels of probability above one half."""
        return np.argwhere(self.values >= 128) + self.corner

    def draw(self, plane: np.ndarray, value: int) -> None:
        """Give those pixels of a slice `(H, W)` a value."""
        (y, x), (height, width) = self.corner, self.values.shape
        plane[y : y + height, x : x + width][self.values >= 128] = value

    def whole(self) -> np.ndarray:
        """Return the `(H, W)` mask."""
        whole = np.zeros(self.shape, np.uint8)
        (y, x), (height, width) = self.corner, self.values.shape
        whole[y : y + height, x : x + width] = self.values
        return whole

    def mirrored(self) -> SoftMask:
        """Return the mask of the slice mirrored left to right."""
        x = self.shape[1] - self.corner[1] - self.values.shape[1]
        return SoftMask(self.values[:, ::-1], (self.corner[0], x), self.shape)

    def encode(self) -> dict:
        """Return the compressed RLE of those pixels, as JSON holds it."""
        if None not in self._kept:
            plane = np.zeros(self.shape, np.uint8, order="F")
            self.draw(plane, 1)
            self._kept[None] = mask_utils.encode(plane)["counts"].decode("ascii")
        return {"size": [int(n) for n in self.shape], "counts": self._kept[None]}

    def measure(self, spacing_xy: tuple[float, float]) -> Bookmark | None:
        """Return the axes, end points (x, y) in pixels of the slice; see `measure_soft_mask`."""
        if spacing_xy not in self._kept:
            axes = measure_soft_mask(self.values / 255, spacing_xy) if self.values.size else None
            shift = self.corner[::-1]
            self._kept[spacing_xy] = axes and Bookmark(
                axes.long_axis + shift, axes.short_axis + shift
            )
        return self._kept[spacing_xy]
