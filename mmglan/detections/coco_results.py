"""COCO result files as arrays: read a block at a time, checked, and written.

Letters: N results, I images. A result as Python objects takes about a kilobyte, here 56 bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as mask_utils

from data_prep.atomic_files import json_bytes, open_atomically
from data_prep.errors import DataError
from data_prep.limits import check_json
from mmglan.detections.coco_files import (
    GroundTruth,
    check_box,
    check_category,
    position_of,
    read_json,
    unknown_image,
)
from mmglan.detections.coco_masks import rle_of
from mmglan.detections.value_checks import finite_numbers

# Category of a result that names none, or whose ground truth lists none.
NO_CATEGORY = np.iinfo(np.int64).min
# Bytes of a file that are decoded at a time, and where they may be divided.
_BLOCK = 1 << 24
_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class Results:
    """The results of one detector on a test set, ordered by image.

    Attributes:
        image: `(N,)` place of each result's image in the ground truth, rising.
        boxes: `(N, 4)` x, y, width, height, pixels.
        scores: `(N,)` confidences.
        category: `(N,)` category ids, `NO_CATEGORY` where there is none.
        masks: For each result its COCO segmentation or None; None where no result has one.
    """

    image: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    category: np.ndarray
    masks: list[Any] | None = None

    @classmethod
    def of_parts(cls, parts: Iterable[Results]) -> Results:
        """Put results together and order them by image, else as they are."""
        parts = [part for part in parts if len(part)]
        if not parts:
            none = np.zeros(0, dtype=np.int64)
            return cls(none, np.zeros((0, 4)), np.zeros(0), none)
        names = ("image", "boxes", "scores", "category")
        arrays = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
        masks = None
        if any(part.masks is not None for part in parts):
            masks = [one for part in parts for one in part.masks or [None] * len(part)]
        together = cls(*arrays, masks)
        if (np.diff(together.image) >= 0).all():
            return together
        return together.take(np.argsort(together.image, kind="stable"))

    def __len__(self) -> int:
        """N."""
        return len(self.scores)

    def take(self, index: np.ndarray) -> Results:
        """Return the results of an index, or those where a mask `(N,)` is true."""
        if index.dtype == bool:
            index = np.flatnonzero(index)
        masks = None if self.masks is None else [self.masks[one] for one in index.tolist()]
        arrays = (self.image, self.boxes, self.scores, self.category)
        return Results(*(array[index] for array in arrays), masks)

    def of_images(self, places: Sequence[int]) -> Results:
        """Return the results of some images, which are then numbered from 0 in their order."""
        number = np.full(max([*places, *self.image[-1:].tolist()], default=0) + 1, -1)
        number[list(places)] = np.arange(len(places))
        kept = self.take(number[self.image] >= 0)
        return Results.of_parts(
            [Results(number[kept.image], kept.boxes, kept.scores, kept.category, kept.masks)]
        )

    def slices(self, n_images: int) -> list[slice]:
        """Return for each image where its results stand."""
        ends = np.searchsorted(self.image, np.arange(n_images + 1)).tolist()
        return list(starmap(slice, pairwise(ends)))

    @property
    def corners(self) -> np.ndarray:
        """`(N, 4)` x1, y1, x2, y2."""
        return np.hstack([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]])


def group_results(rows: Iterable[Any], gt: GroundTruth, name: str = "results") -> Results:
    """Check COCO results and order them by image.

    Args:
        rows: `image_id`, `bbox` or `segmentation`, `score`, maybe `category_id`; one with a mask
            only gets the mask's box.
        gt: Ground truth of the images.
        name: Of the results, for messages.

    Raises:
        ValueError: A result of an unknown image or category, or without a finite score and box.
    """
    return Results.of_parts([_checked(rows, gt, name, 0)])


def read_results(
    path: str | Path,
    gt: GroundTruth,
    *,
    masks: bool = False,
    images: Sequence[int] | None = None,
) -> Results:
    """Read a COCO result file, a block at a time.

    Args:
        path: The file.
        gt: Ground truth of the images.
        masks: Results of masks: each needs a segmentation.
        images: Places of the images whose results are kept; default all. All are checked.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No list of results, or one that cannot be used; file and row are named.
    """
    name, parts, first = Path(path).name, [], 0
    for rows in json_blocks(path):
        part = _of_block(rows, gt, name, first)
        if masks and (part.masks is None or not all(part.masks)) and len(part):
            lacking = 0 if part.masks is None else [bool(m) for m in part.masks].index(False)
            raise ValueError(
                f"{name}: result {first + lacking}: Expected a segmentation but got none"
            )
        first += len(rows)
        parts.append(part if images is None else part.take(np.isin(part.image, images)))
    return Results.of_parts(parts)


class _Row(msgspec.Struct, gc=False):
    """A result as most files have it; others are decoded as dictionaries."""

    image_id: int | str
    bbox: tuple[float, float, float, float]
    score: float
    category_id: int | None = None
    segmentation: Any = None


_ROWS = msgspec.json.Decoder(list[_Row])


def json_blocks(path: str | Path) -> Iterator[list[Any]]:
    """Yield the elements of a JSON list, some at a time, so that memory stays bounded.

    A block ends between two objects of the outer list: a place inside a text or an inner list
    would leave a block that is no JSON, so that the next place is tried.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No JSON, or no list.
    """
    if not Path(path).is_file():
        read_json(path)
    with open(path, "rb") as stream:
        text = stream.read(_BLOCK).lstrip()
        if text[:1] != b"[":
            yield _whole(path)
            return
        while chunk := stream.read(_BLOCK):
            text += chunk
            for place in reversed(list(_BETWEEN.finditer(text, max(1, len(text) - _BLOCK // 4)))):
                try:
                    rows = _decode(text[: place.start() + 1] + b"]")
                except DataError:
                    raise
                except ValueError:
                    continue
                yield rows
                text = b"[" + text[place.end() :]
                break
        try:
            rows = _decode(text)
        except DataError:
            raise
        except ValueError:
            read_json(path)  # names the place in the file
            raise
        yield rows


def _whole(path):
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(
            f"{Path(path).name}: Expected a list of results but got {type(content).__name__}"
        )
    return content


def _decode(text: bytes) -> list[Any]:
    check_json(text, "results")
    for decode in (_ROWS.decode, msgspec.json.decode):
        try:
            return decode(text)
        except msgspec.DecodeError:
            continue
        except RecursionError as error:
            raise ValueError(f"Expected results but got {error}") from error
    return json.loads(text)  # Python writes NaN, which is no JSON


def _of_block(rows, gt, name, first) -> Results:
    """Turn the rows of a block into arrays; only where one looks bad, each is looked at."""
    if not rows or not isinstance(rows[0], _Row):
        return _checked(rows, gt, name, first)
    count = len(rows)
    image = np.fromiter((gt.position.get(row.image_id, -1) for row in rows), np.int64, count)
    boxes = np.array([row.bbox for row in rows])
    scores = np.fromiter((row.score for row in rows), np.float64, count)
    named = [NO_CATEGORY] * count
    if gt.categories:
        known = {None: NO_CATEGORY} | {number: number for number in gt.categories}
        named = [known.get(row.category_id) for row in rows]
    fine = np.isfinite(boxes).all() and np.isfinite(scores).all() and (boxes[:, 2:] >= 0).all()
    if not fine or (image < 0).any() or None in named:
        return _checked([msgspec.to_builtins(row) for row in rows], gt, name, first)
    masks = [row.segmentation for row in rows]
    masks = masks if any(mask is not None for mask in masks) else None
    return Results(image, boxes, scores, np.array(named, dtype=np.int64), masks)


def _checked(rows: Iterable[Any], gt: GroundTruth, name: str, first: int) -> Results:
    """Turn rows into arrays, each checked; `first` is the number of the first one."""
    found: list[tuple] = []
    for number, row in enumerate(rows, start=first):
        where = f"{name}: result {number}"
        place = position_of(row, gt)
        if place is None:
            raise ValueError(
                f"{where}: Expected the id of an image of {gt.name} but got {unknown_image(row)}"
            )
        box, mask = row.get("bbox"), row.get("segmentation")
        if "bbox" not in row and "segmentation" in row:
            box = mask_utils.toBbox(rle_of(gt.images[place], row)).tolist()
        check_box(box, where)
        check_category(row, gt, where)
        if not finite_numbers([row.get("score")], 1):
            raise ValueError(f"{where}: Expected a finite score but got {row.get('score')!r}")
        category = row.get("category_id") if gt.categories else None
        found.append(
            (place, box, row["score"], NO_CATEGORY if category is None else category, mask)
        )
    if not found:
        return Results.of_parts([])
    image, boxes, scores, category, masks = zip(*found, strict=True)
    return Results(
        np.array(image, dtype=np.int64),
        np.array(boxes, dtype=np.float64),
        np.array(scores, dtype=np.float64),
        np.array(category, dtype=np.int64),
        list(masks) if any(mask is not None for mask in masks) else None,
    )


def write_results(path: str | Path, results: Results, gt: GroundTruth) -> None:
    """Write a COCO result file, whole or not at all.

    Args:
        path: The file.
        results: Their categories are those of the ground truth, or 1.
        gt: Names the images.
    """
    with open_atomically(path) as stream:
        stream.write(b"[")
        for first in range(0, len(results), _ROWS_AT_ONCE):
            rows = _result_rows(results, gt, slice(first, first + _ROWS_AT_ONCE))
            stream.write(b"," * (first > 0) + json_bytes(rows).strip()[1:-1])
        stream.write(b"]\n")


def _result_rows(results: Results, gt: GroundTruth, part: slice) -> list[Mapping[str, Any]]:
    rows = [
        dict(image_id=gt.images[place]["id"], category_id=category, score=score, bbox=box)
        for place, category, score, box in zip(
            results.image[part].tolist(),
            np.where(results.category == NO_CATEGORY, 1, results.category)[part].tolist(),
            results.scores[part].tolist(),
            results.boxes[part].tolist(),
            strict=True,
        )
    ]
    if results.masks is not None:
        for row, mask in zip(rows, results.masks[part], strict=True):
            row["segmentation"] = mask
    return rows
