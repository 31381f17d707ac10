"""Run-time parts: hooks, sampler, checkpoint guard. Importing the package registers them."""

from .. import _require_openmmlab  # noqa: F401
from .checkpoint_guard import install as _install_checkpoint_guard
from .epoch_seed_hook import EpochSeedHook, seed_worker_from_torch
from .lesion_balanced_sampler import LesionBalancedSampler
from .run_info_hook import RunInfoHook

_install_checkpoint_guard()

__all__ = ["EpochSeedHook", "LesionBalancedSampler", "RunInfoHook", "seed_worker_from_torch"]
