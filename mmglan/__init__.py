"""Abnormal lymph node detection in MR images, as a plug-in of MMDetection 3.

Importing the package imports nothing else and checks nothing. What stands below is imported when it
is used first; of it, only `VolumeDetector` needs PyTorch. The parts that need MMEngine, MMCV and
MMDetection (`mmglan.models`, `mmglan.datasets`, `mmglan.engine`, `mmglan.inference` and
`mmglan.evaluation.lesion_metric`) check what is installed and refuse to import, with the command to
run, where it does not fit.
"""

from importlib import import_module

from mmglan.version import __version__

_LAZY = {
    "evaluate": "mmglan.api",
    "compare": "mmglan.api",
    "froc": "mmglan.evaluation.froc",
    "stack": "mmglan.detections.stacking",
    "VolumeDetector": "mmglan.inference.volume_detector",
}

__all__ = ["VolumeDetector", "__version__", "compare", "evaluate", "froc", "stack"]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
