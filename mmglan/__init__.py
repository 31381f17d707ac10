"""Abnormal lymph node detection in MR images, as a plug-in of MMDetection 3.

Importing the package checks the installed MMEngine, MMCV and MMDetection and warns, with the
command to run, when they do not fit. The parts that need them (``mmglan.models``,
``mmglan.datasets``, ``mmglan.engine``) refuse to import then; metrics and reports do not need them.
"""

import warnings

from mmglan import compat
from mmglan.version import __version__

_problems = compat.find_problems(compat.installed_versions(), compat.mmcv_has_ops())
if _problems:
    warnings.warn(compat.describe(_problems), stacklevel=2)

__all__ = ["__version__"]
