"""A detector that weighs the losses of any other by learned uncertainty (Sec. 3.3 of the paper)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmdet.utils import reduce_mean
from mmengine.config import Config
from torch import Tensor

from mmglan.models.uncertainty_loss import TaskUncertainty
from mmglan.models.uncertainty_tasks import claim_keys, regression_tasks, resolve_tasks

# What a module registers. The detector's tables become the wrapper's, so that its parts and
# parameters have their plain names here, for optimiser constructors, hooks and checkpoints.
_TABLES = ("_parameters", "_buffers", "_non_persistent_buffers_set", "_modules")


@MODELS.register_module()
class UncertaintyLossWrapper(BaseDetector):
    """Wraps a detector and replaces the sum of its losses by Eq. 6 or a variant.

    Parameters and checkpoints have the names of the plain detector's, and `uncertainty.*` more, so
    that either loads the other's and optimiser settings fit both. Attributes that the wrapper
    lacks (`backbone`, `roi_head`, …) are the detector's.

    Two forms of config build the same thing. The flat one is one line over a plain config and keeps
    the detector's settings in their place. In the nested one, `backbone` gives MMDetection's
    `init_detector` the place where it looks for (and turns off) pretrained weights:

        model = dict(type='UncertaintyLossWrapper', detector='MaskRCNN', tasks='mask_rcnn')

        model = dict(_delete_=True, type='UncertaintyLossWrapper', detector=_base_.model,
                     backbone=dict(init_cfg=None), tasks='mask_rcnn')

    Args:
        detector: Config of the detector, or its type with its settings as further arguments.
        tasks: Preset (see `uncertainty_tasks.PRESETS`), or task name to loss key patterns.
        variant: 'paper', 'kendall', 'liebel' or 'uw_so', see `uncertainty_loss`.
        regression: Regression tasks of 'kendall'; None: told by name (box, xy, wh).
        init_log_variance: Initial log sigma^2, one value or one per task.
        log_variance_range: Bounds of log sigma^2.
        temperature: Of 'uw_so'.
        mean_one: Scale the weights to the mean 1: the losses are balanced, and neither the size of
            the gradients nor the share of them that a norm limit cuts depends on sigma.
        solver: 'gradient', or 'running-mean' for the closed form; see `TaskUncertainty`.
        momentum: Of 'running-mean'.
        data_preprocessor: Used where the detector's config has none.
        init_cfg: As in MMEngine; used in place of the detector's.
        **settings: Settings of the detector, merged into its config.

    Raises:
        ValueError: Bad settings; at the first batch, a task that claims no loss.
    """

    def __init__(
        self,
        detector: dict | str,
        tasks: str | Mapping[str, str | Sequence[str]] = "mask_rcnn",
        variant: str = "paper",
        regression: Sequence[str] | None = None,
        init_log_variance: float | Sequence[float] = 0.0,
        log_variance_range: tuple[float, float] = (-7.0, 7.0),
        temperature: float = 1.0,
        mean_one: bool = False,
        solver: str = "gradient",
        momentum: float = 0.05,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        **settings,
    ) -> None:
        base = dict(type=detector) if isinstance(detector, str) else detector
        config = Config(copy.deepcopy(dict(base)))
        config.merge_from_dict(copy.deepcopy(settings))
        config = config._cfg_dict
        if data_preprocessor is not None:
            config.setdefault("data_preprocessor", data_preprocessor)
        if init_cfg is not None:
            config.init_cfg = init_cfg
        inner = MODELS.build(config)
        super().__init__(data_preprocessor=inner.data_preprocessor)
        self.__dict__.update({name: inner.__dict__[name] for name in _TABLES}, detector=inner)
        self.tasks = resolve_tasks(tasks)
        self.uncertainty = TaskUncertainty(
            list(self.tasks),
            variant,
            regression_tasks(self.tasks) if regression is None else regression,
            init_log_variance,
            log_variance_range,
            temperature,
            mean_one,
            solver,
            momentum,
        )
        self._seen_tasks: set[str] = set()
        self._warned_keys: set[str] = set()

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "detector" not in self.__dict__:
                raise
            return getattr(self.detector, name)

    def init_weights(self) -> None:
        """Initialise the detector, as it does by itself."""
        self.detector.init_weights()
        self._is_init = True

    def train(self, mode: bool = True) -> UncertaintyLossWrapper:
        """Put the detector into training mode too, as it does by itself."""
        super().train(mode)
        self.detector.train(mode)
        return self

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Compute weighted losses under their own keys, `loss_uncertainty`, and the logs.

        Args:
            batch_inputs: `(B, C, H, W)`.
            batch_data_samples: One per image.

        Returns:
            The detector's dict with weighted losses, plus `loss_uncertainty` (the sum of the added
            terms) and, without gradient, `sigma_<task>`, `weight_<task>` and `raw_<task>`.
        """
        return self.weigh(self.detector.loss(batch_inputs, batch_data_samples))

    def weigh(self, losses: dict) -> dict:
        """Weigh a dict of losses, as `loss` does.

        Args:
            losses: Keys that hold 'loss' are losses: a tensor, or a list of them over levels.
        """
        claimed = self._claim(losses)
        device = next(
            value[0] if isinstance(value, list | tuple) else value for value in losses.values()
        ).device
        with torch.autocast(device.type, enabled=False):
            raw = {name: torch.zeros((), device=device) for name in self.tasks}
            for key, task in claimed.items():
                raw[task] = raw[task] + _total(losses[key])
            stacked = torch.stack([raw[name] for name in self.tasks])
            # Of the joint batch: a task counts in every process, or in none.
            weights, terms = self.uncertainty(reduce_mean(stacked.detach()))
            weight_of = dict(zip(self.tasks, weights.unbind(), strict=True))
            weighted = {
                key: _scaled(value, weight_of[claimed[key]]) if key in claimed else value
                for key, value in losses.items()
            }
            # Terms of absent and of skipped tasks have no slope, but keep every parameter in the
            # graph of every process.
            weighted["loss_uncertainty"] = terms.sum() + 0 * weights.sum()
        return {**weighted, **self._logs(stacked.detach(), weights.detach())}

    def predict(self, batch_inputs: Tensor, batch_data_samples: list, **kwargs) -> list:
        """Predict with the detector."""
        return self.detector.predict(batch_inputs, batch_data_samples, **kwargs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list | None = None):
        return self.detector._forward(batch_inputs, batch_data_samples)

    def extract_feat(self, batch_inputs: Tensor):
        """Extract features with the detector."""
        return self.detector.extract_feat(batch_inputs)

    def _claim(self, losses: dict) -> dict[str, str]:
        keys = [key for key in losses if "loss" in key]
        claimed = claim_keys(keys, self.tasks)
        present = set(claimed.values())
        if missing := [t for t in self.tasks if t not in present | self._seen_tasks]:
            raise ValueError(
                f"Expected a loss for each of the tasks {list(self.tasks)} but got {missing} "
                f"without any of {keys}. Choose the preset of this detector, or give patterns."
            )
        # A cascade without proposals stops early: a task may be absent, once it has been seen.
        self._seen_tasks |= present
        if unclaimed := [k for k in keys if k not in claimed and k not in self._warned_keys]:
            warnings.warn(
                f"No task claims the losses {unclaimed}: they keep the weight 1.", stacklevel=2
            )
            self._warned_keys.update(unclaimed)
        return claimed

    def _logs(self, raw: Tensor, weights: Tensor) -> dict[str, Tensor]:
        logs = {"raw": raw, "weight": weights}
        if (sigmas := self.uncertainty.sigmas()) is not None:
            logs["sigma"] = sigmas
        return {
            f"{kind}_{name}": value
            for kind, values in logs.items()
            for name, value in zip(self.tasks, values.unbind(), strict=True)
        }

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        """Accept keys with and without `detector.`; a plain detector has no `uncertainty.`."""
        old = f"{prefix}detector."
        for key in [key for key in state_dict if key.startswith(old)]:
            state_dict[prefix + key[len(old) :]] = state_dict.pop(key)
        for name, value in self.uncertainty.state_dict(prefix=f"{prefix}uncertainty.").items():
            state_dict.setdefault(name, value)
        self.detector._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _total(value: Tensor | Sequence[Tensor]) -> Tensor:
    """Reduce a loss as MMEngine's `parse_losses` does, in float32."""
    if isinstance(value, Tensor):
        return value.float().mean()
    return sum(part.float().mean() for part in value)


def _scaled(value: Tensor | Sequence[Tensor], weight: Tensor):
    if isinstance(value, Tensor):
        return value.float() * weight
    return [part.float() * weight for part in value]
