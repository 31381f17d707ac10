"""Abnormal lymph node detection in MR images, as a plug-in of MMDetection 3.

Importing the package imports nothing else and checks nothing. The parts that need MMEngine, MMCV
and MMDetection (`mmglan.models`, `mmglan.datasets`, `mmglan.engine` and
`mmglan.evaluation.lesion_metric`) check what is installed and refuse to import, with the command to
run, where it does not fit; metrics and reports do not need it.
"""

from mmglan.version import __version__

__all__ = ["__version__"]
