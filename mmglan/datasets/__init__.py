"""Datasets and transforms registered in MMDetection."""

from .. import _require_openmmlab  # noqa: F401
from .lesion_dataset import LesionDataset
from .transforms import LoadSlice

__all__ = ["LesionDataset", "LoadSlice"]
