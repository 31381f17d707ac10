"""From volumes and RECIST bookmarks to data sets with pseudo masks; needs no deep learning.

The public calls are loaded when they are first used:

* `read_volume`: a volume of any format on the axial grid.
* `read_bookmarks`: the bookmarks of a file or folder of any format.
* `pseudo_mask`: a mask from an image and a bookmark, by GrabCut or as a shape.
* `measure`: the bookmark of a mask, its two axes.
"""

from __future__ import annotations

import logging
import warnings
from importlib import import_module

# They quote values of the files, names among them. Faults of files are told by `DataError`.
warnings.filterwarnings("ignore", module="pydicom|highdicom")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_MODULES = {
    "measure": "data_prep.bookmarks.recist",
    "pseudo_mask": "data_prep.pseudo_masks.methods",
    "read_bookmarks": "data_prep.bookmarks.read_bookmarks",
    "read_volume": "data_prep.volumes.volume",
}

__all__ = ["measure", "pseudo_mask", "read_bookmarks", "read_volume"]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
