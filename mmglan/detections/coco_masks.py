"""COCO segmentations as run-length codes that pycocotools can work on.

pycocotools trusts a code: where the runs do not fill the image, its overlap never returns and its
decoder gives memory that was never written. So every code is checked here, once, before it is used.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils


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
    if not all(isinstance(side, Integral) and side > 0 for side in sides):
        raise ValueError(
            f"{where}: Expected height and width, whole numbers above 0, to compare masks but got "
            f"{sides[0]!r} and {sides[1]!r}"
        )
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
        ValueError: Neither of the two, another size, or runs that do not fill the image.
    """
    if isinstance(segmentation, dict):
        return _checked_code(segmentation, height, width)
    if not isinstance(segmentation, (list, tuple)) or not all(map(_is_polygon, segmentation)):
        raise ValueError(
            "Expected a segmentation as polygons (x1, y1, x2, y2, x3, y3, …) or a run-length code "
            f"but got {str(segmentation)[:60]}"
        )
    return mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))


def _is_polygon(points):
    return (
        isinstance(points, (list, tuple))
        and len(points) >= 6
        and len(points) % 2 == 0
        and all(isinstance(value, Real) and np.isfinite(value) for value in points)
    )


def _checked_code(code, height, width):
    size, counts = code.get("size"), code.get("counts")
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        found = " x ".join(map(repr, size)) if isinstance(size, (list, tuple)) else repr(size)
        raise ValueError(f"Expected a mask of {height} x {width} pixels but got {found}")
    runs = _runs(counts)
    if len(runs) and runs.min() < 0:
        raise ValueError(
            f"Expected runs of 0 or more pixels but got one of {int(runs.min())}; the segmentation "
            "is damaged"
        )
    if not len(runs) or runs.sum() != height * width:
        raise ValueError(
            f"Expected runs that fill the {height} x {width} pixels of a mask but got "
            f"{len(runs)} runs over {int(runs.sum())} pixels; the segmentation is damaged"
        )
    if isinstance(counts, (str, bytes)):
        return code
    return mask_utils.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)


def _runs(counts) -> np.ndarray:
    """Return the lengths of the runs; none where the counts can not be read."""
    if not isinstance(counts, (str, bytes)):
        if isinstance(counts, list) and all(isinstance(run, Integral) for run in counts):
            return np.array(counts, dtype=np.int64)
        return np.zeros(0, dtype=np.int64)
    text = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    # Five bits a character, the lowest first; bit 6 says that the number goes on, the sign stands
    # in the top bit of its last character. From the fourth on, runs are differences to the run
    # before the last.
    ends = np.flatnonzero((codes & 32) == 0)
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or ends[-1:] != [len(codes) - 1]:
        return np.zeros(0, dtype=np.int64)
    starts = np.append(0, ends[:-1] + 1)
    length = ends - starts + 1
    if length.max() > 7:
        return np.zeros(0, dtype=np.int64)
    place = np.arange(len(codes)) - np.repeat(starts, length)
    runs = np.add.reduceat((codes & 31) << (5 * place), starts)
    runs -= ((codes[ends] & 16) != 0) * (np.int64(1) << (5 * length))
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
