"""A part of a slice, enlarged, in the corner of the picture that is farthest from it (Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from data_prep.overlay import draw

FRAME = (255, 255, 255)
# Longest side of an inset as a share of the picture's shorter one.
SHARE = 0.45
# The part shown is so many times as long as the box, and so many pixels at least.
MARGIN, LEAST_PX = 1.6, 12

Box = Sequence[float]


def add_inset(
    picture: np.ndarray, image: np.ndarray, box: Box, scale: int, layers: dict[str, list[Any]]
) -> bool:
    """Draw the surroundings of a box enlarged into a picture, in place, and frame both.

    Args:
        picture: uint8 RGB, `scale` times as large as the image.
        image: `(H, W)` slice.
        box: x1, y1, x2, y2 in pixels of the image.
        scale: Of the picture.
        layers: `gt_masks`, `gt_boxes`, `predicted_masks`, `predicted_boxes` of the whole image, as
            `data_prep.overlay.draw` takes them.

    Returns:
        False where the part is so large that it would not be enlarged: then nothing is drawn.
    """
    x, y, side = window(box, image.shape)
    factor = int(SHARE * min(picture.shape[:2]) // side)
    if factor <= scale:
        return False
    part = (slice(y, y + side), slice(x, x + side))
    shifted = {
        name: [entry[part] for entry in entries]
        if name.endswith("masks")
        else [b for b in (np.array(e) - (x, y, x, y) for e in entries) if _meets(b, side)]
        for name, entries in layers.items()
    }
    inset = draw(image[part], **shifted, scale=factor)
    height, width = inset.shape[:2]
    middle = (x + side / 2) * scale, (y + side / 2) * scale
    left = 0 if middle[0] > picture.shape[1] / 2 else picture.shape[1] - width
    top = 0 if middle[1] > picture.shape[0] / 2 else picture.shape[0] - height
    corners = (x * scale, y * scale), ((x + side) * scale - 1, (y + side) * scale - 1)
    cv2.rectangle(picture, *corners, FRAME, 1)
    picture[top : top + height, left : left + width] = inset
    cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), FRAME, 1)
    return True


def window(box: Box, shape: tuple[int, int]) -> tuple[int, int, int]:
    """Return x, y and side of the square around a box, inside an image `(H, W)`."""
    x1, y1, x2, y2 = box
    side = min(max(round(MARGIN * max(x2 - x1, y2 - y1)), LEAST_PX), *shape)
    x = min(max(round((x1 + x2 - side) / 2), 0), shape[1] - side)
    y = min(max(round((y1 + y2 - side) / 2), 0), shape[0] - side)
    return x, y, side


def _meets(box: Box, side: int) -> bool:
    return box[0] < side and box[1] < side and box[2] > 0 and box[3] > 0
