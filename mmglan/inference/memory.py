"""The memory of a process stays the same however many slices its scan has."""

from __future__ import annotations

import ctypes
import mmap
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace

import numpy as np

from data_prep.volumes.volume import Volume

_IN_A_FILE_FROM = 64 << 20  # bytes of voxels


def in_a_file(volume: Volume) -> Volume:
    """Move the voxels of a large scan to a temporary file that has no name.

    The file is read as memory, so the array is used as before (but not written to), and the system
    keeps of it what there is room for. Where there is no room for the file, nothing is moved.
    """
    array = volume.array
    if array.nbytes < _IN_A_FILE_FROM or not hasattr(mmap, "MADV_DONTNEED"):
        return volume
    try:
        with tempfile.TemporaryFile() as file:
            for part in array:
                file.write(np.ascontiguousarray(part))
            file.flush()
            mapped = mmap.mmap(file.fileno(), array.nbytes, access=mmap.ACCESS_READ)
    except OSError:
        return volume
    return replace(volume, array=np.frombuffer(mapped, array.dtype).reshape(array.shape))


def give_back(array: np.ndarray) -> None:
    """Give back what of `in_a_file` was read, and memory that is free but held by glibc.

    Tensors of many sizes, made by one thread and freed by another, leave gaps: without this a
    process grows by some 40 MiB over a thousand slices.
    """
    held = array.base
    while isinstance(held, np.ndarray):
        held = held.base
    if isinstance(held, memoryview) and isinstance(held.obj, mmap.mmap):
        held.obj.madvise(mmap.MADV_DONTNEED)
    if sys.platform.startswith("linux"):
        with suppress(AttributeError, OSError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
