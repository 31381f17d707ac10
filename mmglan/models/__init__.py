"""Modules registered in MMDetection: attention, uncertainty loss, assigners, a small backbone."""

from .. import _require_openmmlab  # noqa: F401
from .global_local_attention import GlobalLocalAttention
from .global_local_roi_head import (
    GlobalLocalCascadeRoIHead,
    GlobalLocalHTCRoIHead,
    GlobalLocalMixin,
    GlobalLocalRoIHead,
)
from .lesion_assigners import LesionATSSAssigner, LesionMaxIoUAssigner
from .lesion_yolo_head import LesionYOLOV3Head
from .mobilenet_v2 import TrimmedMobileNetV2
from .uncertainty_wrapper import UncertaintyLossWrapper

__all__ = [
    "GlobalLocalAttention",
    "GlobalLocalCascadeRoIHead",
    "GlobalLocalHTCRoIHead",
    "GlobalLocalMixin",
    "GlobalLocalRoIHead",
    "LesionATSSAssigner",
    "LesionMaxIoUAssigner",
    "LesionYOLOV3Head",
    "TrimmedMobileNetV2",
    "UncertaintyLossWrapper",
]
