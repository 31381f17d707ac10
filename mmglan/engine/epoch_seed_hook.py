"""Random numbers that depend on the seed and the epoch only.

MMEngine seeds the generators once per process. A run resumed at epoch k would therefore draw the
numbers of epoch 0 again: other augmentations, other sampled RoIs, other weights. Seeding anew at
each epoch makes a killed and resumed run end with the weights of an undisturbed one.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import Runner


def seed_everything(*entropy: int) -> None:
    """Seed Python, NumPy and torch from several whole numbers.

    Args:
        *entropy: numbers ≥ 0, e.g. seed, epoch and rank; each combination gives streams of
            its own.
    """
    words = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))


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
    """Seed all random generators at the start of each epoch from (seed, epoch, rank)."""

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed before the data loader starts its workers."""
        seed_everything(runner.seed, runner.epoch, get_rank())
