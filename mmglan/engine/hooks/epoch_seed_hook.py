"""Random numbers that depend on the seed and the epoch only.

MMEngine seeds the generators once per process. A run resumed at epoch k would therefore draw the
numbers of epoch 0 again: other augmentations, other sampled RoIs, other weights. Seeding at
each epoch makes a killed and resumed run end with the weights of an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dataset import ConcatDataset
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import Runner

from mmglan.random_numbers import seed_everything


@FUNCTIONS.register_module()
def seed_worker_from_torch(worker_id: int) -> None:
    """Seed a data loader's worker from the seed that torch gave it.

    That seed is drawn from the parent's generator at the start of each epoch, hence from
    (seed, epoch, rank). MMEngine's own function would repeat one seed in every epoch.

    Args:
        worker_id: number of the worker; torch has counted it in already.
    """
    del worker_id
    seed_everything(torch.initial_seed())


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed all random generators at the start of each epoch from (seed, epoch, rank).

    A `LesionDataset`, also several joined by `ConcatDataset`, gets numbers of its own for
    each image, from (seed, epoch, image): its augmentations depend neither on the number of
    workers nor on that of the processes. In wrappers that show an image several times per epoch
    (`RepeatDataset`, `ClassBalancedDataset`) it draws from the numbers of its worker, so that the
    times differ.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed before the data loader starts its workers."""
        seed_everything(runner.seed, runner.epoch, get_rank())
        for place, dataset in enumerate(_parts(runner.train_dataloader.dataset)):
            if hasattr(dataset, "seed_images"):
                dataset.seed_images(runner.seed, runner.epoch, place)


def _parts(dataset: Any) -> Iterator[Any]:
    """Yield the datasets of a concatenation, or the dataset itself."""
    if isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            yield from _parts(part)
    else:
        yield dataset
