"""Scores of a prepared set's pseudo masks: `<split>.json` against `<split>_truth.json`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle

from data_prep.bookmarks.recist import Bookmark
from data_prep.errors import DataError
from data_prep.pseudo_masks.matched import match_by_overlap
from data_prep.pseudo_masks.scores import lesion_row

Entry = Mapping[str, Any]


def score_annotations(
    pred: Mapping[str, Sequence[Entry]], gt: Mapping[str, Sequence[Entry]], name: str
) -> tuple[list[dict[str, Any]], list[DataError]]:
    """Score annotations with pseudo masks against those of voxel masks on the same slices.

    Of all pairings on a slice, the one whose masks overlap most counts.

    Args:
        pred: COCO content with `segmentation` and `recist`; regions to ignore do not count.
        gt: COCO content of the same slices, by `file_name`.
        name: How messages call the file of `pred`.

    Returns:
        Rows as of `data_prep.pseudo_masks.scores.score`, for `written` (the masks) and `box` (their
        RECIST boxes); and an error for each annotation that no lesion belongs to.

    Raises:
        DataError: An annotation has no mask or no end points.
    """
    of_slice = {image["file_name"]: image["id"] for image in gt["images"]}
    lesions, marked = _by_image(gt["annotations"], name), _by_image(pred["annotations"], name)
    rows, errors = [], []
    for image in sorted(pred["images"], key=lambda image: image["file_name"]):
        marks = marked[image["id"]]
        truth = lesions[of_slice.get(image["file_name"])]
        pairs = {}
        if marks and truth:
            codes = ([entry["segmentation"] for entry in group] for group in (marks, truth))
            pairs = match_by_overlap(rle.iou(*codes, [0] * len(truth)))
        for number, mark in enumerate(marks):
            if number in pairs:
                rows += _rows(image, mark, truth[pairs[number]])
            else:
                errors.append(
                    DataError(
                        f"Expected a lesion of the voxel masks under annotation {mark['id']} but"
                        " got none. It is not scored.",
                        path=f"{name}, {image['file_name']}",
                    )
                )
    return rows, errors


def _by_image(annotations: Sequence[Entry], name: str) -> dict[Any, list[Entry]]:
    found: dict[Any, list[Entry]] = defaultdict(list)
    for entry in annotations:
        if entry.get("iscrowd"):
            continue
        if not {"segmentation", "recist"} <= set(entry):
            raise DataError(
                f"Expected a mask and end points in annotation {entry['id']} but got none. Name"
                " <split>.json and <split>_truth.json as prepare writes them.",
                path=name,
            )
        found[entry["image_id"]].append(entry)
    return found


def _rows(image: Entry, mark: Entry, lesion: Entry) -> list[dict[str, Any]]:
    spacing = tuple(image["spacing_mm"][:2])
    points = np.reshape(mark["recist"], (4, 2))
    bookmark = Bookmark(points[:2], points[2:])
    gt_mask = rle.decode(dict(lesion["segmentation"])).astype(bool)
    x, y, width, height = bookmark.coco_box()
    box_mask = np.zeros_like(gt_mask)
    top, left = (max(int(np.floor(v + 0.5)), 0) for v in (y, x))
    box_mask[top : int(np.floor(y + height + 0.5)), left : int(np.floor(x + width + 0.5))] = True
    known = {
        "volume": image["volume_id"],
        "slice": image["slice_index"],
        "label": lesion.get("lesion", lesion["id"]),
        "part": mark["id"],
        "cluster": f"{image['volume_id']}/{lesion.get('lesion', lesion['id'])}",
    }
    written = rle.decode(dict(mark["segmentation"])).astype(bool)
    common = (gt_mask, _corners(lesion["bbox"]), bookmark, spacing)
    return [
        lesion_row(known, "written", mark["mask_source"], written, _corners(mark["bbox"]), *common),
        lesion_row(known, "box", "box", box_mask, _corners((x, y, width, height)), *common),
    ]


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    return x, y, x + width, y + height
