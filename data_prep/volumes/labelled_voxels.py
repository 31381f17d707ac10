"""The labelled voxels of a label map, found without sorting the background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelledVoxels:
    """Voxels above 0 of a label map of shape `(Z, Y, X)`; K voxels, n labels.

    Attributes:
        labels: `(n,)` labels that occur, rising.
        index: `(K,)` voxels as places in the flat map, rising.
        number: `(K,)` place of each voxel's label in `labels`, 0 to n - 1.
        boxes: `(n, 6)` x1, y1, z1, x2, y2, z2, upper corners after the last voxel.
    """

    labels: np.ndarray
    index: np.ndarray
    number: np.ndarray
    boxes: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """`(n,)` voxels of each label."""
        return np.bincount(self.number, minlength=len(self.labels))


def labelled_voxels(label_map: np.ndarray) -> LabelledVoxels:
    """Find the voxels of each label of a `(Z, Y, X)` map of whole numbers from 0.

    Examples:
        >>> found = labelled_voxels(np.array([[[0, 7, 7], [2, 0, 7]]]))
        >>> found.labels.tolist(), found.index.tolist(), found.number.tolist()
        ([2, 7], [1, 2, 3, 5], [1, 1, 0, 1])
        >>> found.boxes.tolist()
        [[0, 1, 0, 1, 2, 1], [1, 0, 0, 3, 2, 1]]
    """
    index = np.flatnonzero(label_map != 0)  # of truth values several times faster than of numbers
    zyx = np.unravel_index(index, label_map.shape)
    labels, number = np.unique(label_map[zyx], return_inverse=True)
    number = number.reshape(-1)
    boxes = np.zeros((len(labels), 6), dtype=np.int64)
    for axis, places in enumerate(reversed(zyx)):
        low = np.full(len(labels), label_map.size)
        high = np.zeros(len(labels), dtype=np.int64)
        np.minimum.at(low, number, places)
        np.maximum.at(high, number, places + 1)
        boxes[:, axis], boxes[:, axis + 3] = low, high
    return LabelledVoxels(labels, index, number, boxes)
