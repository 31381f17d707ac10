"""COCO segmentations of every form as checked codes; see `data_prep.dataset.mask_codes`."""

from __future__ import annotations

from typing import Any

from pycocotools import mask as mask_utils

from data_prep.dataset.mask_codes import check_image_size, checked_code, is_polygon


def rle_of(image: dict, record: dict) -> dict:
    """Encode the segmentation of a result or annotation (polygons, counts or RLE) as RLE.

    Args:
        image: COCO image record.
        record: Result or annotation.

    Raises:
        ValueError: No segmentation, one that cannot be read, or a mask of another size than the
            image.
    """
    where = f"image {image['id']}"
    if not record.get("segmentation"):
        raise ValueError(
            f"{where}: Expected a segmentation of every lesion and result to compare "
            "masks but one has none"
        )
    sides = [image.get("height"), image.get("width")]
    try:
        return encode_segmentation(record["segmentation"], *sides)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def encode_segmentation(segmentation: Any, height: int, width: int) -> dict:
    """Encode a COCO segmentation as RLE.

    Args:
        segmentation: Polygons, or a run-length code with `size` and `counts` (list or text).
        height: Of the image, pixels.
        width: Likewise.

    Returns:
        dict: `size` and `counts` as pycocotools takes them.

    Raises:
        ValueError: Neither of the two, another size, points far beyond the image, or runs that do
            not fill it.
    """
    if isinstance(segmentation, dict):
        return checked_code(segmentation, height, width)
    check_image_size(height, width)
    if not isinstance(segmentation, (list, tuple)) or not all(
        is_polygon(points, height, width) for points in segmentation
    ):
        raise ValueError(
            "Expected a segmentation as polygons (x1, y1, x2, y2, x3, y3, …) on the image or a "
            f"run-length code but got {str(segmentation)[:60]}"
        )
    return mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
