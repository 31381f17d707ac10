"""Datasets and transforms registered in MMDetection."""

from mmglan import compat

compat.require_openmmlab()

# The check comes first: the imports below fail without a reason the reader could act on.
# ruff: noqa: E402
from mmglan.datasets.lesion_dataset import LesionDataset
from mmglan.datasets.transforms import LoadSlice

__all__ = ["LesionDataset", "LoadSlice"]
