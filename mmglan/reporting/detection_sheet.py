"""The detection figure: slices with truth in yellow, predictions in green and scores in red."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from data_prep.overlay import draw, sheet
from mmglan.reporting.findings import ImageFindings
from mmglan.reporting.slice_images import decode_mask, slice_of


def choose_slices(
    findings: list[ImageFindings], count: int, *, score: float, seed: int | None = None
) -> list[ImageFindings]:
    """Slices for a figure.

    Args:
        findings: all images.
        count: how many at most.
        score: predictions from this score upwards count.
        seed: None takes slices evenly spread over those with a lesion or a prediction; a number
            draws at random among them.

    Returns:
        Chosen slices in their order; slices with nothing on them only where no others are.
    """
    shown = [
        f for f in findings if f.lesions or any(p.score >= score for p in f.predictions)
    ] or findings
    if len(shown) <= count:
        return shown
    if seed is None:
        places = np.linspace(0, len(shown) - 1, count).round().astype(int)
    else:
        places = np.random.default_rng(seed).choice(len(shown), count, replace=False)
    return [shown[place] for place in sorted(places.tolist())]


def _corners(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def draw_slice(
    item: ImageFindings, image_root: Path, *, score: float, masks: bool = True, side: int = 512
) -> np.ndarray:
    """One slice with its findings.

    Args:
        item: the slice's findings.
        image_root: its `file_name` is relative to this.
        score: predictions from this score upwards are drawn.
        masks: outlines of masks besides boxes.
        side: the picture is enlarged by a whole factor so that its longer side comes near this.

    Returns:
        uint8 RGB.
    """
    image = slice_of(item.image, image_root)
    kept = [p for p in item.predictions if p.score >= score]

    def outlines(things):
        found = (decode_mask(thing.segmentation, *image.shape) for thing in things)
        return [mask for mask in found if mask is not None] if masks else []

    return draw(
        image,
        gt_masks=outlines(item.lesions),
        gt_boxes=[_corners(t.box) for t in item.lesions],
        predicted_masks=outlines(kept),
        predicted_boxes=[_corners(p.box) for p in kept],
        scores=[p.score for p in kept],
        scale=max(1, round(side / max(image.shape))),
    )


def detection_figure(
    findings: list[ImageFindings],
    image_root: Path,
    *,
    score: float,
    masks: bool = True,
    side: int = 512,
    columns: int | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> np.ndarray:
    """All given slices on one sheet, uint8 RGB; see `draw_slice`."""
    return sheet(
        [
            draw_slice(item, image_root, score=score, masks=masks, side=side)
            for item in progress(findings)
        ],
        columns=columns,
    )
