"""Pretrained weights for inputs with another number of channels (2.5D: slices as channels)."""

from __future__ import annotations

from collections.abc import MutableMapping

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn


@HOOKS.register_module()
class AdaptStemHook(Hook):
    """Fits the first convolution of a loaded checkpoint to the model's number of input channels.

    With it, `model = dict(backbone=dict(in_channels=5))` is all that a model needs to take five
    slices and still start from weights for colour images. Checkpoints that fit are left alone.
    """

    priority = "VERY_HIGH"

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Adapt the stem's weights; the runner calls this before it loads a checkpoint."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        adapted = adapt_stem(checkpoint.get("state_dict", checkpoint), model)
        if adapted:
            print_log(f"Adapted to the input channels of the model: {adapted}", logger="current")


def adapt_stem(state_dict: MutableMapping[str, Tensor], model: nn.Module) -> list[str]:
    """Make colour kernels of a state dict fit a model with other input channels, in place.

    The response to a grey image is the sum of the three colour kernels. Shared out evenly, it is
    the same for a stack of equal slices, however many. Three slices fit as they are.

    Args:
        state_dict: Weights to load.
        model: Model that will load them.

    Returns:
        Keys that were changed: those of weights `(O, 3, h, w)` where the model has `(O, C, h, w)`.
    """
    adapted = []
    for key, wanted in model.state_dict().items():
        weight = state_dict.get(key)
        if (
            weight is not None
            and weight.ndim == wanted.ndim == 4
            and weight.shape[1] == 3 != wanted.shape[1]
            and weight.shape[::2] == wanted.shape[::2]
            and weight.shape[3] == wanted.shape[3]
        ):
            channels = wanted.shape[1]
            state_dict[key] = (weight.sum(1, keepdim=True) / channels).repeat(1, channels, 1, 1)
            adapted.append(key)
    return adapted
