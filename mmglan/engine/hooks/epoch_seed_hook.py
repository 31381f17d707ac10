"""Random numbers that depend on the seed and the progress of the training only.

MMEngine seeds the generators once per process. A run resumed at epoch k would therefore draw the
numbers of epoch 0 again: other augmentations, other sampled RoIs, other weights. Seeding at each
epoch, or at each iteration of a loop without epochs, makes a killed and resumed run end with the
weights of an uninterrupted one.
"""

from __future__ import annotations

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmglan.engine.visits import number_visits, rewind, start_round
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
    """Seed all random generators from (seed, epoch, rank), without epochs (seed, iteration, rank).

    Each visit to a training image has numbers of its own, see `visits`: augmentations depend
    neither on the number of workers nor on that of the processes, and no image gets the same one
    again, also where a sampler or a wrapper shows it several times per epoch.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Number the visits before the data loader starts its workers."""
        number_visits(runner.train_dataloader, runner.seed)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed an epoch. A loop without epochs is one, and resumes at its start."""
        epoch = runner.epoch if _has_epochs(runner) else 0
        unskipped = (
            runner.iter if getattr(runner.train_loop, "fast_forward_on_resume", False) else 0
        )
        seed_everything(runner.seed, epoch, get_rank())
        start_round(runner.train_dataloader, epoch, unskipped)
        _start_workers_again(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seed an iteration of a loop without epochs."""
        if not _has_epochs(runner):
            seed_everything(runner.seed, runner.iter, get_rank())


def _has_epochs(runner: Runner) -> bool:
    return isinstance(runner.train_loop, EpochBasedTrainLoop)


def _start_workers_again(runner: Runner) -> None:
    """Replace workers of a loop without epochs that know nothing of the numbered visits.

    MMEngine up to 0.10.7 starts them with the loop, before any hook; later ones when it runs.
    """
    iterator = getattr(runner.train_loop, "dataloader_iterator", None)
    if getattr(iterator, "_iterator", None) is not None:
        rewind(runner.train_dataloader)
        runner.train_loop.dataloader_iterator = type(iterator)(runner.train_dataloader)
