"""Grey values of slices on one scale, [0, 255], whatever range they are stored in."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from data_prep.dataset import coco_entries

GREY_MAX = 255.0
TWELVE_BITS = 4095
Range = tuple[float, float]


def to_float(
    image: np.ndarray, path: str | None = None, value_range: Range | None = None
) -> np.ndarray:
    """Return grey values as float32 in [0, 255].

    Args:
        image: Grey values of any shape.
        path: Of the file, for the errors and for the range that its data set states.
        value_range: Values that stand for black and white. None: the whole range of uint8 and
            uint16, 0 to 255 of floats.

    Raises:
        ValueError: Another type, or values that do not reach or that exceed their range, as those
            of 12 bits in a file of 16 and of floats from 0 to 1 do.
    """
    where = path or "image"
    lowest, highest = image.min(), image.max()
    if value_range is None:
        value_range = _range_of_type(image, path, where, highest)
    low, high = map(float, value_range)
    if image.dtype.kind in "iu" and np.iinfo(image.dtype).max < high:
        raise ValueError(
            f"{where}: Expected pixels that can hold values up to {high:g}, as stated, but got "
            f"{image.dtype}. State the range they have: LoadSlice value_range."
        )
    if not (lowest >= low and highest <= high):  # also where one is no number
        raise ValueError(
            f"{where}: Expected values from {low:g} to {high:g} but got {lowest:g} to {highest:g}."
            " State their range: LoadSlice value_range=(black, white)."
        )
    scale = np.float32(GREY_MAX / (high - low))
    return (image.astype(np.float32) - np.float32(low)) * scale


def _range_of_type(image: np.ndarray, path: str | None, where: str, highest: Any) -> Range:
    """Return the whole range of a type, if the values look as if they were of it."""
    if image.dtype == np.uint8:
        return 0, GREY_MAX
    if image.dtype.kind == "f":
        if 0 < highest <= 1:
            raise ValueError(
                f"{where}: Expected float values from 0 to 255 but got none above {highest:g}. "
                "State their range: LoadSlice value_range=(0, 1)."
            )
        return 0, GREY_MAX
    if image.dtype != np.uint16:
        raise ValueError(f"{where}: Expected 8-bit, 16-bit or float pixels but got {image.dtype}.")
    if 0 < highest <= TWELVE_BITS and not (path and is_prepared(osp.dirname(path))):
        raise ValueError(
            f"{where}: Expected 16-bit values up to 65535 but got none above {highest}, as of 12 "
            "bits. State their range: LoadSlice value_range=(0, 4095), or (0, 65535) if the slice "
            "is dark."
        )
    return coco_entries.VALUE_RANGE


def stated_range(info: Any) -> Range | None:
    """Read the range that an annotation file states for its slices.

    Args:
        info: The file's `info`. That of `mmglan prepare` states `value_range`; older ones, told by
            their description, are of the whole 16 bits.

    Raises:
        ValueError: It is no pair of rising numbers.
    """
    info = info if isinstance(info, Mapping) else {}
    stated = info.get("value_range")
    if stated is None:
        old = info.get("description") == coco_entries.DESCRIPTION
        return coco_entries.VALUE_RANGE if old else None
    try:
        low, high = map(float, stated)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise ValueError(f"Expected info.value_range of two rising numbers but got {stated!r}.")
    return low, high


@lru_cache(maxsize=256)
def is_prepared(folder: str) -> bool:
    """Tell whether a folder of slices is one of `mmglan prepare`, `images/<volume>`."""
    root, images = osp.split(osp.dirname(osp.abspath(folder)))
    return images == "images" and osp.isfile(osp.join(root, "report.json"))
