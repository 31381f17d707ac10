"""DeepLesion's fully labelled sub-volumes (Yan et al. 2020), as published or as JSON.

The published file is a pickle of dictionaries and arrays: `{'val': {name: boxes}, 'test': …}`. A
name such as `001439_01_01_005-017` is the folder and the first and last slice number; boxes are
`(n, 6)` x1, y1, z1, x2, y2, z2 of voxels that belong to the lesion, z being slice numbers of the
folder. All sub-volumes are of patients of DeepLesion's official test split; the paper, as others,
tests on those called `test`.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError, quoted
from data_prep.paths import resolve_under, without_series
from data_prep.volumes import deeplesion_png
from data_prep.volumes.search.volume_index import VolumeIndex

NAME = re.compile(r"([^/\\]+)_(\d{1,9})-(\d{1,9})", re.ASCII)
_NUMBERS = {"f8", "f4", "i8", "i4", "i2", "u1", "u2", "u4", "u8"}

# Patient, and 3D boxes of all lesions.
LabelledVolume = tuple[str, tuple[tuple[float, ...], ...]]


@dataclass(frozen=True)
class SubVolume:
    """A sub-volume of which all lesions are known.

    Attributes:
        folder: Folder of its series.
        first: Number of its first slice.
        last: Number of its last slice.
        boxes: x1, y1, z1, x2, y2, z2 of each lesion: pixels and slice numbers, inclusive.
    """

    folder: str
    first: int
    last: int
    boxes: tuple[tuple[float, ...], ...]


def read_subvolumes(path: Path, group: str = "test") -> list[SubVolume]:
    """Read the sub-volumes of a group, in the order of their names.

    Args:
        path: The published `.pkl`, or `.json` with lists in place of arrays.
        group: `test` or `val`; a file without groups is read whole.

    Raises:
        DataError: The file holds anything else, or a box lies outside its sub-volume.
    """
    content = _load(path)
    content = content.get(group, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not content:
        raise DataError(
            f"Expected sub-volumes of the group {group} but got none. Name the annotations as"
            " published.",
            path=path.name,
        )
    return [_checked(name, content[name], path.name) for name in sorted(content, key=str)]


def labelled_volumes(
    path: Path, images: VolumeIndex, records: Iterable[BookmarkRecord]
) -> tuple[dict[str, LabelledVolume], list[DataError]]:
    """Find the sub-volumes called `test` among the folders of slices.

    Args:
        path: See `read_subvolumes`.
        images: Folder of the folders.
        records: Bookmarks of `DL_info.csv`, which name the patients.

    Returns:
        Patient and boxes by volume, `folder#5-17` or the whole folder; and an error for each
        sub-volume that is left out.
    """
    patients = {without_series(r.volume).partition("_")[0]: r.patient for r in records}
    found: dict[str, LabelledVolume] = {}
    errors = []
    for part in read_subvolumes(path):
        patient = patients.get(part.folder.partition("_")[0])
        try:
            if patient is None:
                raise DataError("Expected bookmarks that name its patient but got none.")
            folder = resolve_under(images, part.folder)
            there = deeplesion_png.blocks(folder, part.folder) if folder.is_dir() else []
            if not any(a <= part.first <= part.last <= b for a, b in there):
                raise DataError("Expected all of its slices but got none, or a part of them.")
        except DataError as error:
            name = f"{part.folder}_{part.first:03d}-{part.last:03d}"
            errors.append(DataError(f"{name}: {error.message} It is left out.", path=path.name))
            continue
        volume = deeplesion_png.part_name(part.folder, (part.first, part.last), there)
        found[volume] = patient, part.boxes
    return found, errors


def _checked(name: Any, boxes: Any, file: str) -> SubVolume:
    match = NAME.fullmatch(name) if isinstance(name, str) else None
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.zeros(1)
    array = array.reshape(-1, 6) if not array.size else array
    if match is None or array.ndim != 2 or array.shape[1] != 6 or not np.isfinite(array).all():
        raise DataError(
            "Expected a name such as 001439_01_01_005-017 with boxes of 6 numbers but got"
            f" {quoted(str(name))}. Name the annotations as published.",
            path=file,
        )
    first, last = int(match[2]), int(match[3])
    low, high = array[:, :3], array[:, 3:]
    if (low > high).any() or (low[:, 2] < first).any() or (high[:, 2] > last).any():
        raise DataError(
            f"Expected boxes inside the slices {first} to {last}, lower corner first, but got"
            f" others in {name}. Slice numbers count from the start of the series.",
            path=file,
        )
    return SubVolume(match[1], first, last, tuple(map(tuple, array.tolist())))


def _load(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            if file.read(1) in (b"{", b"["):
                file.seek(0)
                return json.load(file)
            file.seek(0)
            return _PlainUnpickler(file).load()
    except OSError as error:
        raise DataError(
            f"Expected the sub-volumes but got: {error.strerror}. Correct --subvolumes.",
            path=path.name,
        ) from None
    except Exception as error:  # an unpickler may fail in any way
        raise DataError(
            f"Expected a pickle of dictionaries and arrays, or JSON, but got: {error}. Take the"
            " file as published.",
            path=path.name,
        ) from None


class _Type:
    """Stand-in for `numpy.dtype` in the file; becomes one of plain numbers."""

    def __init__(self, code: str, *_flags: Any) -> None:
        if str(code).lstrip("<>=|") not in _NUMBERS:
            raise pickle.UnpicklingError(f"numbers of type {code!r}")
        self.code, self.order = str(code).lstrip("<>=|"), "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = ">" if state[1] == ">" else "<"


class _Array:
    """Stand-in for `numpy.ndarray`: holds what the file states until it is asked for."""

    def __init__(self, *_arguments: Any) -> None:
        self.values = np.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, in_columns, content = state
        if not isinstance(kind, _Type) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array of objects")
        values = np.frombuffer(content, kind.order + kind.code)
        self.values = values.reshape(shape, order="F" if in_columns else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)


class _PlainUnpickler(pickle.Unpickler):
    """Resolves the three names of a pickled array to stand-ins, and no other name."""

    _NAMES: Mapping[str, Any] = {
        "numpy.core.multiarray._reconstruct": _Array,
        "numpy._core.multiarray._reconstruct": _Array,
        "numpy.ndarray": _Array,
        "numpy.dtype": _Type,
    }

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name not in self._NAMES:
            raise pickle.UnpicklingError(f"a reference to {full_name}")
        return self._NAMES[full_name]
