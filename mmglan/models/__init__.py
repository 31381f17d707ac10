"""Modules registered in MMDetection: global-local attention and the uncertainty loss."""

from mmglan import compat

compat.require_openmmlab()

# The check comes first: the imports below fail without a reason the reader could act on.
# ruff: noqa: E402
from mmglan.models.global_local_attention import GlobalLocalAttention
from mmglan.models.global_local_roi_head import (
    GlobalLocalCascadeRoIHead,
    GlobalLocalHTCRoIHead,
    GlobalLocalMixin,
    GlobalLocalRoIHead,
)
from mmglan.models.uncertainty_wrapper import UncertaintyLossWrapper

__all__ = [
    "GlobalLocalAttention",
    "GlobalLocalCascadeRoIHead",
    "GlobalLocalHTCRoIHead",
    "GlobalLocalMixin",
    "GlobalLocalRoIHead",
    "UncertaintyLossWrapper",
]
