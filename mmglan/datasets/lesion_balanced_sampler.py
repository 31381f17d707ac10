"""A fixed share of lesion-free slices in every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


def balanced_epoch(
    has_lesion: np.ndarray, lesion_free_fraction: float, seed: int, epoch: int
) -> np.ndarray:
    """Choose the images of one epoch.

    Args:
        has_lesion: `(N,)` bool, one entry per image.
        lesion_free_fraction: share of lesion-free images in the epoch, 0 ≤ share < 1.
        seed: seed of the run.
        epoch: number of the epoch, from 0.

    Returns:
        Image numbers in random order: every image with a lesion once, and as many without as
        the share asks for. Consecutive epochs walk through the lesion-free images before one
        of them comes again. A set with only one kind of image is used whole.
    """
    with_lesion = np.flatnonzero(has_lesion)
    without = np.flatnonzero(~has_lesion)
    order = np.random.default_rng((seed, epoch))
    if len(with_lesion) == 0 or len(without) == 0:
        return order.permutation(len(has_lesion))
    count = round(len(with_lesion) * lesion_free_fraction / (1 - lesion_free_fraction))
    position = epoch * count + np.arange(count)
    rounds, place = np.divmod(position, len(without))
    shuffled = {
        number: np.random.default_rng((seed, 1, int(number))).permutation(without)
        for number in np.unique(rounds)
    }
    chosen = [shuffled[number][index] for number, index in zip(rounds, place, strict=True)]
    return order.permutation(np.concatenate([with_lesion, np.array(chosen, dtype=int)]))


@DATA_SAMPLERS.register_module()
class LesionBalancedSampler(Sampler):
    """Sampler of a fixed share of lesion-free images, for one or several processes.

    Set `filter_cfg=dict(filter_empty_gt=False)` on the dataset, or there are none to sample.

    Args:
        dataset: dataset with `instances` in its `get_data_info(i)`.
        lesion_free_fraction: share of lesion-free images in each epoch, 0 ≤ share < 1.
        seed: seed shared by all processes; drawn and shared if None.

    Raises:
        ValueError: the share is out of range.
    """

    def __init__(
        self, dataset: Sized, lesion_free_fraction: float = 0.25, seed: int | None = None
    ) -> None:
        if not 0 <= lesion_free_fraction < 1:
            raise ValueError(
                f"Expected 0 <= lesion_free_fraction < 1 but got {lesion_free_fraction}."
            )
        self.dataset = dataset  # MMDetection's batch sampler asks it for shapes
        self.rank, self.world_size = get_dist_info()
        self.fraction = lesion_free_fraction
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.has_lesion = np.array([_has_lesion(dataset, i) for i in range(len(dataset))])
        total = len(balanced_epoch(self.has_lesion, self.fraction, self.seed, 0))
        self.num_samples = math.ceil(total / self.world_size)

    def __iter__(self) -> Iterator[int]:
        """Yield this process's share; the first images are repeated to make shares equal."""
        indices = balanced_epoch(self.has_lesion, self.fraction, self.seed, self.epoch)
        indices = np.resize(indices, self.num_samples * self.world_size)
        yield from indices[self.rank :: self.world_size].tolist()

    def __len__(self) -> int:
        """Return the number of images per process and epoch."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose other images in another epoch; MMEngine's runner calls this."""
        self.epoch = epoch


def _has_lesion(dataset: Any, index: int) -> bool:
    """Tell whether an image has a lesion that is not marked to be ignored."""
    instances = dataset.get_data_info(index)["instances"]
    return any(not instance.get("ignore_flag", 0) for instance in instances)
