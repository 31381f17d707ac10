"""Datasets, transforms and samplers registered in MMDetection."""

from .. import _require_openmmlab  # noqa: F401
from .augmentations import RandomIntensity, RandomLesionAffine
from .lesion_balanced_sampler import LesionBalancedSampler
from .lesion_dataset import LesionDataset
from .transforms import LoadSlice

__all__ = [
    "LesionBalancedSampler",
    "LesionDataset",
    "LoadSlice",
    "RandomIntensity",
    "RandomLesionAffine",
]
