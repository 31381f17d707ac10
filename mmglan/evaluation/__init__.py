"""Metrics of lesion detection.

All modules but `lesion_metric` are plain numpy and work without PyTorch. Where MMDetection is
installed, importing this package registers `LesionMetric`.
"""

from importlib.util import find_spec

__all__ = []

if all(find_spec(name) for name in ("torch", "mmengine", "mmcv", "mmdet")):
    from mmglan.evaluation.lesion_metric import LesionMetric

    __all__ += ["LesionMetric"]
