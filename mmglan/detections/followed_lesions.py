"""Lesions followed from their bookmarks' slices to the slices around by a detector's results.

A bookmark marks a lesion on one slice; a detector trained on such slices finds most lesions on
their other slices too, but also much that is none. A detection that continues a bookmark from slice
to slice is taken for the same lesion, and slices far from all of these hold no lesion if every
lesion of the volume is bookmarked: then what is detected there teaches most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mmglan.detections.coco_files import GroundTruth, is_ignored
from mmglan.detections.coco_masks import rle_of
from mmglan.detections.coco_results import NO_CATEGORY, Results
from mmglan.detections.volume_files import slice_of, slices_of_volumes


@dataclass(frozen=True)
class FollowRules:
    """When a detection continues a lesion, and which slices hold none.

    Attributes:
        min_score: Least score.
        min_iou: Least box IoU with the lesion on the slice before.
        margin: Slices beyond the last one of a lesion that may still hold it.
        empty: At most so many slices without a lesion per volume, those with the highest scores
            first; 0 where not all lesions of a volume are bookmarked.

    Raises:
        ValueError: A number out of its range.
    """

    min_score: float = 0.5
    min_iou: float = 0.5
    margin: int = 3
    empty: int = 6

    def __post_init__(self) -> None:
        if not (0 <= self.min_score <= 1 and 0 < self.min_iou <= 1):
            raise ValueError(
                "Expected min_score from 0 to 1 and min_iou above 0 up to 1 but got "
                f"{self.min_score} and {self.min_iou}"
            )
        if self.margin < 0 or self.empty < 0:
            raise ValueError(
                f"Expected margin and empty of 0 or more but got {self.margin} and {self.empty}"
            )


@dataclass
class _Volume:
    """Slices of a volume by index: image records, and the places of their results."""

    images: dict[int, Mapping[str, Any]]
    rows: dict[int, np.ndarray]


def followed_set(
    marked: Mapping[str, Any],
    slices: GroundTruth,
    results: Results,
    rules: FollowRules = FollowRules(),
) -> dict[str, Any]:
    """Make the training set of bookmarked, followed and empty slices.

    Args:
        marked: COCO content of the bookmarked slices, checked (`coco_files.read_content`).
        slices: All slices of the same volumes, with the same image ids; its annotations are not
            looked at. Volumes of an image that says `incomplete` give no empty slices, nor do
            those with regions to ignore.
        results: Of a detector on `slices`.
        rules: What counts.

    Returns:
        COCO content. Followed lesions have `mask_source` `followed` and the detection's `score`.

    Raises:
        ValueError: An image does not say which slice it is, or another one in the two files.
    """
    volumes = _volumes(slices, results)
    records = {image["id"]: image for image in marked["images"]}
    lesions = [one for one in marked["annotations"] if not is_ignored(one)]
    regions = [one for one in marked["annotations"] if is_ignored(one)]
    places = {number: slice_of(one, f"image {number}") for number, one in records.items()}
    _check_same(places, slices)
    unclear = {places[one["image_id"]][0] for one in regions}
    unclear |= {str(image["volume_id"]) for image in slices.images if image.get("incomplete")}
    not_empty: dict[str, set[int]] = {name: set() for name in volumes}
    bookmarked: dict[str, set[int]] = {name: set() for name in volumes}
    for name, z in places.values():
        bookmarked.setdefault(name, set()).add(z)

    known = [one["id"] for one in marked["annotations"] if isinstance(one["id"], int)]
    numbers = count(max(known, default=0) + 1)
    annotations, taken = list(marked["annotations"]), set()
    for lesion in lesions:
        name, z = places[lesion["image_id"]]
        if name not in volumes:
            continue
        volume = volumes[name]
        for step in (1, -1):
            end = z
            for end, row in _continuations(
                volume, bookmarked[name], results, lesion, (z, step), rules
            ):
                not_empty[name].add(end)
                records.setdefault(volume.images[end]["id"], volume.images[end])
                if row not in taken:
                    taken.add(row)
                    annotations.append(
                        _annotation(next(numbers), volume.images[end], results, row, lesion)
                    )
            not_empty[name].update(end + step * k for k in range(1, rules.margin + 1))

    for name in set(volumes) - unclear:
        volume = volumes[name]
        free = set(volume.images) - not_empty[name] - bookmarked[name]
        for z in _highest(volume, results, free, rules.empty):
            records[volume.images[z]["id"]] = volume.images[z]
    images = sorted(records.values(), key=lambda one: (isinstance(one["id"], str), one["id"]))
    return {**marked, "images": images, "annotations": annotations}


def _volumes(slices: GroundTruth, results: Results) -> dict[str, _Volume]:
    rows = np.arange(len(results))
    return {
        name: _Volume(
            {z: image for z, (image, _) in parts.items()},
            {z: rows[part] for z, (_, part) in parts.items()},
        )
        for name, parts in slices_of_volumes(slices, results).items()
    }


def _check_same(places: Mapping[Any, tuple[str, int]], slices: GroundTruth) -> None:
    for image in slices.images:
        place = slice_of(image, f"{slices.name}: image {image['id']}")
        if places.get(image["id"], place) != place:
            raise ValueError(
                f"{slices.name}: image {image['id']}: Expected the same slice as in the file of "
                f"the bookmarks but got slice {image['slice_index']} of {image['volume_id']}. "
                "Take both files of one run of mmglan prepare."
            )


def _continuations(
    volume: _Volume,
    bookmarked: set[int],
    results: Results,
    lesion: Mapping[str, Any],
    start: tuple[int, int],
    rules: FollowRules,
) -> Iterator[tuple[int, int]]:
    """Yield slice index and row of the detections that continue a lesion to one side.

    Args:
        start: Its slice, and 1 or -1 for the side.
    """
    box, (key, step) = np.array(lesion["bbox"], dtype=np.float64), start
    for z in count(key + step, step):
        if z not in volume.images or z in bookmarked:
            return
        rows = volume.rows[z]
        same = np.isin(results.category[rows], (lesion["category_id"], NO_CATEGORY))
        rows = rows[same & (results.scores[rows] >= rules.min_score)]
        if not len(rows):
            return
        overlaps = mask_utils.iou(results.boxes[rows], box[None], [0])[:, 0]
        fit = np.where(overlaps >= rules.min_iou, overlaps * results.scores[rows], -1.0)
        best = int(fit.argmax())
        if fit[best] < 0 or not _has_extent(results, int(rows[best]), volume.images[z]):
            return
        yield z, int(rows[best])
        box = results.boxes[rows[best]]


def _has_extent(results: Results, row: int, image: Mapping[str, Any]) -> bool:
    """Say whether a detection can be trained on: a pixel at least, of its mask if it has one."""
    mask = None if results.masks is None else results.masks[row]
    if mask is None:
        return bool(results.boxes[row][2:].min() >= 1)
    return bool(mask_utils.area(rle_of(dict(image), {"segmentation": mask})) > 0)


def _annotation(
    number: int,
    image: Mapping[str, Any],
    results: Results,
    row: int,
    lesion: Mapping[str, Any],
) -> dict[str, Any]:
    box = results.boxes[row].tolist()
    entry = dict(
        id=number,
        image_id=image["id"],
        category_id=lesion["category_id"],
        iscrowd=0,
        bbox=box,
        area=box[2] * box[3],
        mask_source="followed",
        score=float(results.scores[row]),
    )
    mask = None if results.masks is None else results.masks[row]
    if mask is not None:
        rle = rle_of(dict(image), {"segmentation": mask})
        area, box = int(mask_utils.area(rle)), mask_utils.toBbox(rle).tolist()
        entry |= dict(segmentation=mask, area=area, bbox=box)
    return entry


def _highest(volume: _Volume, results: Results, free: set[int], number: int) -> Sequence[int]:
    """Return the slices with the highest scores, each slice's best detection counting."""
    best = {z: results.scores[volume.rows[z]].max(initial=0.0) for z in free}
    return sorted(free, key=lambda z: (-best[z], z))[:number]
