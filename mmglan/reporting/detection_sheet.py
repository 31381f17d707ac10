"""The detection sheet: slices with ground truth yellow, detections green and scores red."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from data_prep.overlay import draw, sheet
from mmglan.detections.coco_files import GroundTruth
from mmglan.detections.coco_results import Results
from mmglan.evaluation.detection_status import ImageStatus
from mmglan.reporting.insets import add_inset
from mmglan.reporting.slice_images import decode_mask, slice_of


def choose_slices(
    gt: GroundTruth, results: Results, count: int, *, score: float, seed: int | None = None
) -> list[int]:
    """Choose slices for a sheet.

    Args:
        gt: all images.
        results: all detections.
        count: how many at most.
        score: detections from this score upwards count.
        seed: None takes slices evenly spread over those with a lesion or a detection; a number
            draws at random among them.

    Returns:
        Places of the chosen slices, rising; slices with nothing on them only where no others are.
    """
    shown = np.array(list(map(bool, gt.lesions)), dtype=bool)
    shown[results.image[results.scores >= score]] = True
    shown = np.flatnonzero(shown if shown.any() else ~shown)
    if len(shown) <= count:
        return shown.tolist()
    if seed is None:
        places = np.linspace(0, len(shown) - 1, count).round().astype(int)
    else:
        places = np.random.default_rng(seed).choice(len(shown), count, replace=False)
    return sorted(shown[places].tolist())


def _corners(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def draw_slice(
    item: ImageStatus,
    image_root: Path,
    *,
    score: float,
    masks: bool = True,
    side: int = 512,
    inset: bool = False,
) -> np.ndarray:
    """Draw one slice with its lesions and detections.

    Args:
        item: the slice's lesions and detections.
        image_root: its `file_name` is relative to this.
        score: detections from this score upwards are drawn.
        masks: outlines of masks besides boxes.
        side: the slice is enlarged by a whole factor so that its longer side comes near this.
        inset: show the largest lesion (without one, the best detection) enlarged in a corner.

    Returns:
        uint8 RGB.
    """
    image = slice_of(item.image, image_root)
    kept = [one for one in item.detections if one.score >= score]

    def outlines(things):
        found = (decode_mask(thing.segmentation, *image.shape) for thing in things)
        return [mask for mask in found if mask is not None] if masks else []

    layers = {
        "gt_masks": outlines(item.lesions),
        "gt_boxes": [_corners(one.box) for one in item.lesions],
        "predicted_masks": outlines(kept),
        "predicted_boxes": [_corners(one.box) for one in kept],
    }
    scale = max(1, round(side / max(image.shape)))
    picture = draw(image, **layers, scores=[one.score for one in kept], scale=scale)
    shown = max(item.lesions, key=lambda one: one.box[2] * one.box[3], default=None)
    shown = shown or max(kept, key=lambda one: one.score, default=None)
    if inset and shown is not None:
        add_inset(picture, image, _corners(shown.box), scale, layers)
    return picture


def detection_sheet(
    images: list[ImageStatus],
    image_root: Path,
    *,
    score: float,
    masks: bool = True,
    side: int = 512,
    columns: int | None = None,
    inset: bool = False,
    progress: Callable[[Iterable], Iterable] = iter,
) -> np.ndarray:
    """Draw all given slices on one sheet, uint8 RGB; see `draw_slice`."""
    return sheet(
        [
            draw_slice(item, image_root, score=score, masks=masks, side=side, inset=inset)
            for item in progress(images)
        ],
        columns=columns,
    )
