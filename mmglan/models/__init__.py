"""Modules registered in MMDetection: attention, uncertainty loss, a backbone for CPUs."""

from .. import _require_openmmlab  # noqa: F401
from .global_local_attention import GlobalLocalAttention
from .global_local_roi_head import (
    GlobalLocalCascadeRoIHead,
    GlobalLocalHTCRoIHead,
    GlobalLocalMixin,
    GlobalLocalRoIHead,
)
from .mobilenet_v2 import TrimmedMobileNetV2
from .uncertainty_wrapper import UncertaintyLossWrapper

__all__ = [
    "GlobalLocalAttention",
    "GlobalLocalCascadeRoIHead",
    "GlobalLocalHTCRoIHead",
    "GlobalLocalMixin",
    "GlobalLocalRoIHead",
    "TrimmedMobileNetV2",
    "UncertaintyLossWrapper",
]
