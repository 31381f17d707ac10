"""MMDetection's MobileNetV2 without the layer that detectors leave unused."""

from __future__ import annotations

from mmdet.models.backbones import MobileNetV2
from mmdet.registry import MODELS

LAST_CONVOLUTION = 7  # its place in `out_indices`


@MODELS.register_module()
class TrimmedMobileNetV2(MobileNetV2):
    """`MobileNetV2` without its last convolution, unless `out_indices` asks for it.

    The original keeps it without using it: its parameters never get a gradient, which several
    processes would wait for. Checkpoints load as before.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if LAST_CONVOLUTION not in self.out_indices:
            self.layers.remove("conv2")
            del self.conv2
