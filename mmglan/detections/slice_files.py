"""Slices of a prepared volume as an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from data_prep.errors import DataError


def read_slices(paths: Sequence[Path]) -> np.ndarray:
    """Read slices of one volume, `(Z, Y, X)`, normalised already.

    Raises:
        DataError: A slice that is missing or no image.
    """
    images = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image is None:
            raise DataError(
                "Expected a slice of a prepared volume but found none that can be read. Name the "
                "folder of the slices with --images.",
                path=path,
            )
    return np.stack(images)
