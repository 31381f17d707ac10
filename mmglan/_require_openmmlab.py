"""Imported first by the packages that need the OpenMMLab packages: refuses what can not work."""

from .compat import require_openmmlab

require_openmmlab()
