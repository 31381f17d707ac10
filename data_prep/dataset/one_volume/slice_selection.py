"""Which slices of a volume are used, and how they are normalised."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.dataset.one_volume import intensity
from data_prep.pseudo_masks.methods import DEFAULT

KEEP_EMPTY = ("slices", "volumes", "all")


@dataclass(frozen=True)
class VolumeOptions:
    """Options that change what a volume gives.

    Attributes:
        mask_method: One of `data_prep.pseudo_masks.methods.MASK_METHODS`.
        normalize: `image` (the paper's), `volume` or `window:low,high`.
        propagate: Follow lesions over at most this many slices on either side of a bookmark's.
        context: Neighbouring slices to write on either side of each slice used.
        keep_empty: Keep slices without a lesion: `slices` of volumes with lesions, whole
            `volumes` without, `all` of both, or None.
        max_empty: Keep at most this many of them per volume, evenly spaced; None keeps all.
        whole_volumes: Write every slice of the volume, for testing on volumes.
        single_slices: Volumes may have one slice.
        series_rule, modality, series_description: See `data_prep.read_volume`.
        nifti_form: See `data_prep.read_volume`; holds for masks too.
        nan: See `data_prep.read_volume`.
        philips_scaling: See `data_prep.read_volume`.
        binary_masks: Masks do not tell lesions apart: take connected components.
        segments: Regular expression that names of segments contain which are lesions, in masks.
        iterations: Of GrabCut; None for those of the mask method.
    """

    mask_method: str = DEFAULT
    normalize: str = "image"
    propagate: int = 0
    context: int = 0
    keep_empty: str | None = None
    max_empty: int | None = None
    whole_volumes: bool = False
    single_slices: bool = False
    binary_masks: bool = False
    segments: str | None = None
    series_rule: str = "only"
    modality: str | None = None
    series_description: str | None = None
    nifti_form: str = "auto"
    nan: str = "refuse"
    philips_scaling: str = "display"
    iterations: int | None = None


def window_of(normalize: str) -> tuple[float, float] | None:
    """Return the ends of `window:low,high`; None for `image` and `volume`.

    Raises:
        ValueError: Another text, or ends that are no numbers in rising order.
    """
    if normalize in ("image", "volume"):
        return None
    try:
        low, high = (float(part) for part in normalize.removeprefix("window:").split(","))
    except ValueError:
        low = high = 0.0
    if not normalize.startswith("window:") or not -math.inf < low < high < math.inf:
        raise ValueError(
            "expected image, volume or window:low,high with low < high (as window:-175,275) but "
            f"got {normalize}"
        )
    return low, high


class Slices:
    """The slices of a volume, normalised one by one."""

    def __init__(self, array: np.ndarray, normalize: str) -> None:
        self._array, self._window = array, window_of(normalize)
        self._volume = intensity.normalize(array) if normalize == "volume" else None

    def for_masks(self, z: int) -> np.ndarray:
        """Return slice `z` as GrabCut is to see it: cut to the window, if there is one."""
        # The percentile cut would flatten bright lesions; GrabCut maps its own crop to 8 bits.
        image = self._array[z]
        return image if self._window is None else intensity.window(image, *self._window)

    def normalized(self, z: int) -> np.ndarray:
        """Return slice `z` normalised, uint16 `(H, W)`."""
        if self._window is not None:
            return intensity.to_uint16(self.for_masks(z))
        if self._volume is not None:
            return intensity.to_uint16(self._volume[z])
        return intensity.normalize_to_uint16(self._array[z])


def used_slices(
    lesions: Sequence[tuple[int, float]],
    propagated: Iterable[int],
    ignored: Sequence[tuple[int, float]],
    labels: np.ndarray | None,
    options: VolumeOptions,
    depth: int,
    spacing_z: float,
    *,
    all_known: bool,
    complete: bool = False,
    rejected: Collection[int] = (),
) -> dict[int, str]:
    """Choose slices: index → kind, see `SliceResult`.

    Args:
        lesions: Slice index and long axis in mm of each bookmark.
        propagated: Slices to which lesions were followed.
        ignored: Slice index and extent in mm of each region to ignore.
        labels: True lesions `(Z, Y, X)`, where known.
        options: What to keep.
        depth: Number of slices.
        spacing_z: Their distance in mm.
        all_known: False if bookmarks were refused: then no slice is known to be empty.
        complete: A reader has looked at all slices: those without a lesion are kept.
        rejected: Slices on which a reader has rejected a finding: they are kept where no lesion
            may reach; `volume_lesions.reaching` serves for the others.
    """
    kinds = {z: "ignore" for z, _ in ignored} | {z: "lesion" for z, _ in lesions}
    wanted = ("slices", "all") if kinds else ("volumes", "all")
    marked = [*lesions, *ignored]
    if all_known and (complete or options.keep_empty in wanted):
        for z in _empty_slices(marked, labels, options.max_empty, depth, spacing_z):
            kinds[z] = "empty"
    kinds = dict.fromkeys(propagated, "propagated") | kinds
    free = set(_empty_slices(marked, labels, None, depth, spacing_z)) if rejected else set()
    free -= {z for z, kind in kinds.items() if kind != "empty"}
    kinds |= dict.fromkeys(free.intersection(rejected), "rejected")
    if options.whole_volumes:
        return {z: kinds.get(z, "extra") for z in range(depth)}
    for z in list(kinds):
        for near in range(max(0, z - options.context), min(depth, z + options.context + 1)):
            kinds.setdefault(near, "extra")
    return kinds


def _empty_slices(
    lesions: Sequence[tuple[int, float]],
    labels: np.ndarray | None,
    max_empty: int | None,
    depth: int,
    spacing_z: float,
) -> list[int]:
    """Find slices that hold no lesion, as far as is known.

    A lesion reaches beyond the slice it was measured on, so slices nearer to a bookmark than its
    long axis do not count as empty, nor do slices with true voxels.
    """
    free = np.ones(depth, bool)
    for z, long_axis_mm in lesions:
        distance = np.abs(np.arange(depth) - z) * spacing_z
        free &= distance > max(long_axis_mm, spacing_z)
    if labels is not None:
        free &= ~labels.any(axis=(1, 2))
    empty = np.flatnonzero(free)
    if max_empty is not None and len(empty) > max_empty:
        step = len(empty) / max(max_empty, 1)
        empty = empty[[int((i + 0.5) * step) for i in range(max_empty)]]
    return [int(z) for z in empty]
