"""NumPy's arrays and scalars in checkpoints, without what NumPy itself would do for a file.

`numpy.ndarray` makes an array of objects from any bytes and takes them for addresses: calling it is
as good as running code. The functions here stand in for those that a pickled array names; they make
arrays and scalars of plain numbers and nothing else.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

_CODES = ("b1", "i4", "i8", "u4", "f4", "f8")
# Types with a state that a file may set, although it can not name them.
STATEFUL = (np.ndarray, *{type(np.dtype(code)) for code in _CODES})


class ArrayType:
    """Stand-in for `numpy.ndarray` in a file."""


def plain_dtype(code: Any, *flags: Any) -> np.dtype:
    """Stand in for `numpy.dtype`.

    Gives NumPy's own object of each type and no copy: it ignores the state that a file sets, which
    may hold fields beyond the array. Numbers are thus read in the byte order of this machine.

    Raises:
        pickle.UnpicklingError: the type is none of plain numbers.
    """
    del flags
    if code not in _CODES:
        raise pickle.UnpicklingError(f"a reference to NumPy's type {code!r}")
    return np.dtype(code)


def empty_array(kind: type, *arguments: Any) -> np.ndarray:
    """Stand in for NumPy's `_reconstruct`; the state of the array follows."""
    del arguments
    if kind is not ArrayType:
        raise pickle.UnpicklingError(f"a reference to arrays of {kind!r}")
    return np.empty(0, np.int8)


def scalar(dtype: np.dtype, content: bytes) -> np.generic:
    """Stand in for NumPy's `scalar`."""
    return np.frombuffer(content, dtype.str, count=1)[0]


NAMES: dict[str, Any] = {
    "numpy.ndarray": ArrayType,
    "numpy.dtype": plain_dtype,
    # NumPy 1 and 2 call the module by different names; either reads files of the other.
    **{f"numpy.{core}.multiarray._reconstruct": empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": scalar for core in ("core", "_core")},
}
