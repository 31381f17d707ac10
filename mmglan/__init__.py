"""Abnormal lymph node detection in MR images, as a plug-in of MMDetection 3.

Importing the package imports nothing else and checks nothing. The functions below are imported
when they are used first and need no PyTorch. The parts that need MMEngine, MMCV and MMDetection
(`mmglan.models`, `mmglan.datasets`, `mmglan.engine` and `mmglan.evaluation.lesion_metric`) check
what is installed and refuse to import, with the command to run, where it does not fit.
"""

from importlib import import_module

from mmglan.version import __version__

_FUNCTIONS = {
    "evaluate": "mmglan.api",
    "compare": "mmglan.api",
    "froc": "mmglan.evaluation.froc",
    "stack": "mmglan.detections.stacking",
}

__all__ = ["__version__", "compare", "evaluate", "froc", "stack"]


def __getattr__(name: str):
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
