"""Which slices of a volume are used, and how they are normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep import grabcut, intensity

SEEDS = (*grabcut.SEEDS, "ellipse", "quadrilateral")
KEEP_EMPTY = ("slices", "volumes", "all")


@dataclass(frozen=True)
class VolumeOptions:
    """Options that change what a volume gives.

    Attributes:
        seeds: One of :data:`SEEDS`; GrabCut's seeding, or a shape drawn from the bookmark alone.
        normalize: ``image`` (the paper's), ``volume`` or ``window:low,high``.
        context: Neighbouring slices to write on either side of each slice used.
        keep_empty: Keep slices without a lesion: ``slices`` of volumes with lesions, whole
            ``volumes`` without, ``all`` of both, or None.
        max_empty: Keep at most this many of them per volume, evenly spaced; None keeps all.
        whole_volumes: Write every slice, for testing on volumes.
        binary_masks: Masks do not tell lesions apart: take connected components.
    """

    seeds: str = "bounded"
    normalize: str = "image"
    context: int = 0
    keep_empty: str | None = None
    max_empty: int | None = None
    whole_volumes: bool = False
    binary_masks: bool = False


class Slices:
    """The normalised slices of a volume, made when asked for."""

    def __init__(self, array: np.ndarray, normalize: str) -> None:
        self._window = None
        if normalize == "volume":
            array = intensity.normalize(array)
        elif normalize.startswith("window:"):
            self._window = [float(v) for v in normalize.removeprefix("window:").split(",")]
        self._array, self._per_image = array, normalize == "image"
        self._last: tuple[int, np.ndarray] | None = None

    def normalized(self, z: int) -> np.ndarray:
        """Slice ``z`` as float32 ``(H, W)`` in [0, 1]."""
        if self._last is None or self._last[0] != z:
            image = self._array[z]
            if self._window is not None:
                image = intensity.window(image, *self._window)
            elif self._per_image:
                image = intensity.normalize(image)
            self._last = z, image
        return self._last[1]


def used_slices(
    result: dict[str, Any], labels: np.ndarray | None, options: VolumeOptions, depth: int
) -> dict[int, str]:
    """Slice index → ``lesion`` (bookmarked), ``empty`` (kept without a lesion) or ``extra``."""
    kinds = {lesion["slice_index"]: "lesion" for lesion in result["lesions"]}
    for z in _empty_slices(result, labels, options, depth):
        kinds[z] = "empty"
    if options.whole_volumes:
        return {z: kinds.get(z, "extra") for z in range(depth)}
    for z in list(kinds):
        for near in range(max(0, z - options.context), min(depth, z + options.context + 1)):
            kinds.setdefault(near, "extra")
    return kinds


def _empty_slices(
    result: dict[str, Any], labels: np.ndarray | None, options: VolumeOptions, depth: int
) -> list[int]:
    """Slices that hold no lesion, as far as anyone knows.

    A lesion reaches beyond the slice it was measured on. Slices nearer to a bookmark than its long
    axis do not count as empty, nor do slices with true voxels; and a volume with a refused bookmark
    has no slice of which we know.
    """
    has_lesions = result["n_bookmarks"] > 0
    wanted = ("slices", "all") if has_lesions else ("volumes", "all")
    if options.keep_empty not in wanted or result["has_refused_bookmarks"]:
        return []
    spacing_z = result["spacing_mm"][2]
    free = np.ones(depth, bool)
    for lesion in result["lesions"]:
        distance = np.abs(np.arange(depth) - lesion["slice_index"]) * spacing_z
        free &= distance > max(lesion["long_axis_mm"], spacing_z)
    if labels is not None:
        free &= ~labels.any(axis=(1, 2))
    empty = np.flatnonzero(free)
    if options.max_empty is not None and len(empty) > options.max_empty:
        step = len(empty) / max(options.max_empty, 1)
        empty = empty[[int((i + 0.5) * step) for i in range(options.max_empty)]]
    return [int(z) for z in empty]
