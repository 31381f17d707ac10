"""Modules registered in MMDetection: global-local attention and the uncertainty loss."""

from .. import _require_openmmlab  # noqa: F401
from .global_local_attention import GlobalLocalAttention
from .global_local_roi_head import (
    GlobalLocalCascadeRoIHead,
    GlobalLocalHTCRoIHead,
    GlobalLocalMixin,
    GlobalLocalRoIHead,
)
from .uncertainty_wrapper import UncertaintyLossWrapper

__all__ = [
    "GlobalLocalAttention",
    "GlobalLocalCascadeRoIHead",
    "GlobalLocalHTCRoIHead",
    "GlobalLocalMixin",
    "GlobalLocalRoIHead",
    "UncertaintyLossWrapper",
]
