"""Findings as pictures: each lesion on the slice of its axes, for a quick look without a viewer."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from data_prep.bookmarks.recist import Bookmark
from data_prep.dataset.one_volume.intensity import normalize
from data_prep.overlay import draw
from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Findings, Lesion

_WIDTH = 512  # least width of a picture
_LINE = 18
# Enlarged rows repeat themselves: this filter takes a third of the time and a quarter of the room
# (OpenCV before 4.12 has no choice).
_PNG = (
    [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    if hasattr(cv2, "IMWRITE_PNG_FILTER")
    else []
)


def overlays_of(findings: Findings, volume: Volume) -> dict[str, bytes]:
    """Draw each lesion: outline of its mask (a box without one) green, axes cyan; two at a time.

    Returns:
        PNG by file name `lesion-0001.png`; captions hold the pseudonym, the lesion and warnings.
    """
    names = [f"lesion-{lesion.number:04d}.png" for lesion in findings.lesions]
    with ThreadPoolExecutor(2) as pool:
        pictures = pool.map(lambda one: _png(_picture(one, findings, volume)), findings.lesions)
        return dict(zip(names, pictures, strict=True))


def _picture(lesion: Lesion, findings: Findings, volume: Volume) -> np.ndarray:
    axes, best = lesion.recist, max(lesion.slices, key=lambda part: part.score)
    z = best.slice_index if axes is None else axes.slice_index
    parts = [part for part in lesion.slices if part.slice_index == z]
    scale = max(1, -(-_WIDTH // volume.array.shape[2]))
    drawn = draw(
        np.round(255 * normalize(volume.array[z])).astype(np.uint8),
        predicted_masks=[mask_utils.decode(p.segmentation) for p in parts if p.segmentation],
        predicted_boxes=[
            (x, y, x + width, y + height)
            for x, y, width, height in (part.box for part in parts if not part.segmentation)
        ],
        bookmarks=[] if axes is None else [Bookmark(axes.long_axis, axes.short_axis)],
        scale=scale,
    )
    lines = [_caption(lesion, z, findings), *(f"WARNING: {text}" for text in findings.warnings)]
    return _with_text(_in_proportion(drawn, volume.spacing_mm), lines)


def _caption(lesion: Lesion, z: int, findings: Findings) -> str:
    words = [findings.volume_id, f"lesion {lesion.number}"]
    words += [
        f"slice {z} of 0 to {findings.geometry.shape_zyx[0] - 1}",
        f"score {lesion.score:.2f}",
    ]
    if lesion.recist is not None:
        words.append(f"{lesion.recist.long_axis_mm:.1f} x {lesion.recist.short_axis_mm:.1f} mm")
    return ", ".join(words)


def _in_proportion(picture: np.ndarray, spacing) -> np.ndarray:
    """Stretch pixels that are not square along their longer side."""
    x, y = (value / min(spacing[:2]) for value in spacing[:2])
    size = (round(picture.shape[1] * x), round(picture.shape[0] * y))
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def _with_text(picture: np.ndarray, texts: list[str]) -> np.ndarray:
    lines = [line for text in texts for line in textwrap.wrap(text, picture.shape[1] // 8)]
    strip = np.zeros((_LINE * len(lines) + 6, picture.shape[1], 3), np.uint8)
    for number, line in enumerate(lines, start=1):
        place = (6, _LINE * number - 3)
        cv2.putText(strip, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255,) * 3, 1, cv2.LINE_AA)
    return np.vstack([strip, picture])


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture[:, :, ::-1], _PNG)[1].tobytes()
