"""Run-length codes of masks, checked before pycocotools works on them.

pycocotools trusts a code: where the runs do not fill the image, its overlap never returns and its
decoder gives memory that was never written, or ends the process. So every code and polygon is
checked here, once, before it is used.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

# Bytes of one decoded mask. No slice is larger; a file that says so is damaged.
MAX_PIXELS = 1 << 28


def check_image_size(height: Any, width: Any) -> None:
    """Raise ValueError unless masks of so many pixels can be decoded."""
    if not all(
        isinstance(s, Integral) and not isinstance(s, bool) and s > 0 for s in (height, width)
    ):
        raise ValueError(
            f"Expected height and width, whole numbers above 0, but got {height!r} and {width!r}"
        )
    if height * width > MAX_PIXELS:
        raise ValueError(
            f"Expected an image of at most {MAX_PIXELS} pixels but got {height} x {width}"
        )


def is_polygon(points: Any, height: int, width: int) -> bool:
    """Whether `points` are x1, y1, x2, y2, x3, y3, … within one image size around the image."""
    if not isinstance(points, (list, tuple)) or len(points) < 6 or len(points) % 2:
        return False
    if not all(isinstance(value, Real) and np.isfinite(value) for value in points):
        return False
    return all(
        -side <= low and high <= 2 * side
        for side, low, high in (
            (width, min(points[::2]), max(points[::2])),
            (height, min(points[1::2]), max(points[1::2])),
        )
    )


def checked_code(code: dict, height: int, width: int) -> dict:
    """Return a run-length code as pycocotools takes it.

    Args:
        code: `size` and `counts`, a list or text.
        height: Of the image, pixels.
        width: Likewise.

    Raises:
        ValueError: Another size, or runs that do not fill the image.
    """
    check_image_size(height, width)
    size, counts = code.get("size"), code.get("counts")
    if not isinstance(size, (list, tuple)) or list(map(repr, size)) != [repr(height), repr(width)]:
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
        if isinstance(counts, list) and all(
            isinstance(run, Integral) and abs(run) <= MAX_PIXELS for run in counts
        ):
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
