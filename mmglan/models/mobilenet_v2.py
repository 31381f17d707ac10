"""MMDetection's MobileNetV2 without the layers that detectors leave unused."""

from __future__ import annotations

from mmdet.models.backbones import MobileNetV2
from mmdet.registry import MODELS


@MODELS.register_module()
class TrimmedMobileNetV2(MobileNetV2):
    """`MobileNetV2` without what lies behind the last layer that `out_indices` asks for.

    The original keeps it without using it: its parameters never get a gradient, which several
    processes would wait for. Checkpoints load as before.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        used = max(self.out_indices) + 1
        for name in self.layers[used:]:
            delattr(self, name)
        del self.layers[used:]
