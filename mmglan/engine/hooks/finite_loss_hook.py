"""A training that has diverged stops, and its weights are never the best."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

ADVICE = (
    "Look at the learning rate (a tenth of it, or a longer warm-up), the limit of the gradients "
    "(optim_wrapper.clip_grad), mixed precision (train without --amp) and the data (mmglan verify)."
    " To leave such steps out and go on: --cfg-options default_hooks.finite_loss.stop=False"
)


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops where a loss, or a weight that is to be validated, is not finite.

    Args:
        stop: False to leave out the steps whose gradients are not finite (mixed precision does so
            by itself) and to go on with a message. Metrics of weights that are not finite are
            then NaN, so that no such checkpoint is the best one.

    Raises:
        FloatingPointError: What is not finite, where, and what to look at.
    """

    priority = "HIGH"  # before the checkpoint is saved

    def __init__(self, stop: bool = True) -> None:
        self.stop = stop

    def before_train(self, runner: Runner) -> None:
        """Leave out spoilt steps where training goes on."""
        if not self.stop and not isinstance(runner.optim_wrapper, AmpOptimWrapper):
            _leave_out_spoilt_steps(runner.optim_wrapper)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        """Check the losses of a step."""
        loss = (outputs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        parts = {key: value for key, value in outputs.items() if "loss" in key and key != "loss"}
        bad = [key for key, value in parts.items() if not _finite(value)]
        images = [getattr(sample, "img_path", None) for sample in _samples(data_batch)]
        names = ", ".join(str(path) for path in images if path) or "not known"
        rates = {name: values[0] for name, values in runner.optim_wrapper.get_lr().items()}
        self._report(
            f"Iteration {runner.iter + 1}, epoch {runner.epoch + 1}: Expected finite losses but "
            f"got {float(loss)} ({', '.join(bad)}) at the rates {rates}. Images: {names}. {ADVICE}"
        )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Check the weights that were validated."""
        bad = [name for name, value in runner.model.state_dict().items() if not _finite(value)]
        if bad:
            for name in metrics or {}:
                metrics[name] = math.nan
            more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
            self._report(
                f"Epoch {runner.epoch}, iteration {runner.iter}: Expected finite weights but got "
                f"others in {', '.join(bad[:3])}{more}. {ADVICE}"
            )

    def _report(self, text: str) -> None:
        if self.stop:
            raise FloatingPointError(text)
        print_log(text, "current", logging.ERROR)


def _finite(value: Any) -> bool:
    return bool(torch.isfinite(torch.as_tensor(value)).all())


def _samples(data_batch: Any) -> list[Any]:
    return data_batch.get("data_samples", []) if isinstance(data_batch, dict) else []


def _leave_out_spoilt_steps(optim_wrapper: OptimWrapper) -> None:
    """Let an optimiser take only steps whose gradients are finite: equal in all processes."""
    step = optim_wrapper.step

    def finite_step(**kwargs) -> None:
        parameters = [p for group in optim_wrapper.param_groups for p in group["params"]]
        if all(p.grad is None or _finite(p.grad) for p in parameters):
            step(**kwargs)

    optim_wrapper.step = finite_step
