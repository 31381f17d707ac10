"""The first bookmarks on their slices in one picture: the quickest look at whether they fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from data_prep.dataset import coco_entries
from data_prep.dataset.one_volume.volume_result import VolumeResult
from data_prep.dataset.run_report import draw

FILE_NAME = "bookmarks.png"
NUMBER = 12
_COLUMNS, _WIDTH, _CAPTION = 4, 384, 24


def sheet(out_dir: Path, results: Iterable[VolumeResult], number: int = NUMBER) -> bytes | None:
    """Draw the first slices with bookmarks, masks and regions to ignore; None if there are none.

    Args:
        out_dir: Folder with `images/`.
        results: Of the volumes, in their order; no more of them are taken than are needed.
        number: Slices to draw.

    Returns:
        A PNG file. Captions hold pseudonyms and slices only.
    """
    tiles = [
        _tile(draw(_pixels(out_dir, coco_entries.file_name(volume_id, z)), marks), caption)
        for volume_id, z, marks, caption in islice(_slices(results), number)
    ]
    if not tiles:
        return None
    height = max(len(tile) for tile in tiles)
    padded = [np.pad(tile, ((0, height - len(tile)), (0, 0), (0, 0))) for tile in tiles]
    columns = min(_COLUMNS, len(tiles))
    padded += [np.zeros_like(padded[0])] * (-len(tiles) % columns)
    rows = [np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)]
    return cv2.imencode(".png", np.vstack(rows)[:, :, ::-1])[1].tobytes()


def _pixels(out_dir: Path, file_name: str) -> np.ndarray:
    return cv2.imread(str(out_dir / "images" / file_name), cv2.IMREAD_UNCHANGED)


def _slices(results: Iterable[VolumeResult]) -> Iterator[tuple[str, int, list[dict], str]]:
    for result in results:
        marked = [*result.lesions, *result.ignored]
        for z in sorted({mark.slice_index for mark in marked}):
            here = [mark.annotation() for mark in marked if mark.slice_index == z]
            depth = result.shape_zyx[0]
            yield result.volume_id, z, here, f"{result.volume_id}, slice {z} of 0 to {depth - 1}"


def _tile(image: np.ndarray, caption: str) -> np.ndarray:
    height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
    small = cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    tile = np.vstack([np.zeros((_CAPTION, _WIDTH, 3), np.uint8), small])
    white = (255, 255, 255)
    cv2.putText(tile, caption, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, white, 1, cv2.LINE_AA)
    return tile
