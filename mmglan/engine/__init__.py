"""Run-time parts: runner, hooks, checkpoint guard. Importing the package registers them."""

from mmglan import compat

compat.require_openmmlab()

# The check comes first: the imports below fail without a reason the reader could act on.
# ruff: noqa: E402
from mmglan.engine.checkpoint_guard import install as _install_checkpoint_guard
from mmglan.engine.hooks.adapt_stem_hook import AdaptStemHook
from mmglan.engine.hooks.epoch_seed_hook import EpochSeedHook, seed_worker_from_torch
from mmglan.engine.hooks.finite_loss_hook import FiniteLossHook
from mmglan.engine.hooks.resumed_run_hook import ResumedRunHook
from mmglan.engine.hooks.run_info_hook import RunInfoHook
from mmglan.engine.hooks.self_training_hook import SelfTrainingHook
from mmglan.engine.hooks.settings_check_hook import SettingsCheckHook
from mmglan.engine.lesion_runner import LesionRunner

_install_checkpoint_guard()

__all__ = [
    "AdaptStemHook",
    "EpochSeedHook",
    "FiniteLossHook",
    "LesionRunner",
    "ResumedRunHook",
    "RunInfoHook",
    "SelfTrainingHook",
    "SettingsCheckHook",
    "seed_worker_from_torch",
]
