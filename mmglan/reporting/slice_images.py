"""Slices and outlines in the form in which the HTML report embeds them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from data_prep.paths import resolve_under
from data_prep.volumes.png_files import read_png
from mmglan.detections.coco_masks import encode_segmentation

# Larger images than this are stored as JPEG: some hundred slices must still open on a phone.
PNG_LIMIT = 60_000
JPEG_LIMIT = 120_000


def read_slice(path: Path) -> np.ndarray:
    """Read a prepared slice as 8-bit grey.

    Args:
        path: 8- or 16-bit PNG, one channel (of several, the mean is taken).

    Returns:
        uint8 `(H, W)`; 16-bit values lose their low byte.

    Raises:
        FileNotFoundError: no such image.
        DataError: not a PNG file that can be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected the image {path.name} but got nothing at {path}.")
    image = read_png(path, path.name)
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 3:
        image = image[..., :3].mean(axis=2).round().astype(np.uint8)
    return image


def slice_of(record: dict[str, Any], image_root: Path) -> np.ndarray:
    """Return the slice of a COCO image record, as `read_slice` gives it.

    Raises:
        FileNotFoundError: as `read_slice`.
        ValueError: no `file_name`, one that leaves the folder, or an image of another size than the
            record says, so that boxes would be drawn in wrong places.
    """
    name = record.get("file_name")
    if not isinstance(name, str):
        raise ValueError(
            f"image {record['id']}: Expected the file_name of a slice image but got {name!r}."
        )
    image = read_slice(resolve_under(image_root, name))
    sides = record.get("height"), record.get("width")
    if None not in sides and sides != image.shape:
        raise ValueError(
            f"{Path(name).name}: Expected an image of {sides[0]!r} x {sides[1]!r} "
            f"pixels, as the annotations say, but got {image.shape[0]} x {image.shape[1]}."
        )
    return image


def encode(image: np.ndarray, *, max_side: int = 640) -> tuple[str, str]:
    """Return an image as MIME type and base64 text, of at most `max_side` pixels and `JPEG_LIMIT`.

    Small images are PNG (exact); large ones JPEG of quality 90, less only where the limit
    demands it.
    """
    scale = max_side / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    kind = "image/png"
    if data.size > PNG_LIMIT:
        kind = "image/jpeg"
        for quality in (90, 80, 65, 50, 35, 20):
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if data.size <= JPEG_LIMIT:
                break
    return kind, base64.b64encode(data.tobytes()).decode("ascii")


def thumbnail(image: np.ndarray, side: int = 72) -> str:
    """Encode the image's middle as a small square data URI."""
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    middle = image[top : top + edge, left : left + edge]
    small = cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def decode_mask(segmentation: Any, height: int, width: int) -> np.ndarray | None:
    """Decode a COCO segmentation to a bool mask `(height, width)`, None for none.

    Raises:
        ValueError: one that cannot be read, or of another size.
    """
    if not segmentation:
        return None
    return coco_mask.decode(encode_segmentation(segmentation, height, width)).astype(bool)


def outline(mask: np.ndarray | None) -> str:
    """Return the SVG path of a mask's outer borders, '' for none.

    It runs along the edges of the pixels, 1/8 of a pixel inside, so that a lesion of few pixels
    keeps its shape.
    """
    if mask is None or not mask.any():
        return ""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    inside = mask[top : top + height, left : left + width].astype(np.uint8)
    fine = np.repeat(np.repeat(inside, 4, axis=0), 4, axis=1)
    contours, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in contours:
        points = contour[:, 0] / 4 + (left + 0.125, top + 0.125)
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z")
    return "".join(parts)
