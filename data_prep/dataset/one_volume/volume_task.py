"""What a worker needs to know about one volume, and what its result depends on."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_prep.atomic_files import json_bytes
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset.one_volume.slice_selection import VolumeOptions
from data_prep.dataset.sources import Source
from data_prep.paths import without_series

# Raise it when the same input gives other results than before: earlier ones are then replaced.
RESULT_VERSION = 21


@dataclass(frozen=True)
class VolumeTask:
    """One volume to process.

    Attributes:
        source: Which volume, mask and bookmarks.
        root: Absolute path of the folder that `source.volume` is relative to.
        mask_root: The same for `source.mask`; None without masks.
        options: What to do with it.
        out_dir: Absolute path of the output folder.
    """

    source: Source
    root: str
    mask_root: str | None
    options: VolumeOptions
    out_dir: str

    def key(self) -> str:
        """Digest the volume's files, bookmarks and options: equal keys, equal results."""
        source = self.source
        stated = [
            RESULT_VERSION,
            source.volume_id,
            source.patient_id,
            asdict(self.options),
            [plain(record) for record in source.records],
            [plain(record) for record in source.ignored],
            [plain(record) for record in source.rejected],
            source.all_known,
            source.complete,
            source.boxes,
            _fingerprint(self.root, source.volume),
            _fingerprint(self.mask_root, source.mask),
        ]
        return hashlib.sha256(json_bytes(stated)).hexdigest()


def plain(record: BookmarkRecord) -> dict[str, Any]:
    """Turn a bookmark into values that JSON knows."""
    # The key of a patient is another in each run.
    values = {n: getattr(record, n) for n in record.__slots__ if n != "patient_key"}
    grid = None if record.grid is None else asdict(record.grid)
    return values | {"points": record.points.tolist(), "grid": grid}


def _fingerprint(root: str | None, relative: str | None) -> list:
    """List names, sizes and times of the files of a volume, which tell a replaced one."""
    if root is None or relative is None:
        return []
    path = Path(root) / without_series(relative)
    listed = []
    try:
        for file in _files(path):
            state = file.stat()
            listed.append([os.path.relpath(file, path), state.st_size, state.st_mtime_ns])
    except OSError as error:  # whoever reads the volume will say so
        listed.append([error.errno])
    return [relative, listed]


def _files(path: Path) -> list[Path]:
    """List the files of a volume, sorted."""
    files = [path] if path.is_file() else []
    if path.is_dir():
        files = [p for p in path.rglob("*") if p.is_file()]
    elif path.suffix.lower() in (".mhd", ".nhdr"):  # the voxels are in a file beside it
        beside = _by_stem(path.parent, path.parent.stat().st_mtime_ns)
        files = [path.parent / name for name in beside.get(path.stem, ())]
    return sorted(files)


@lru_cache(maxsize=4)
def _by_stem(folder: Path, changed_ns: int) -> dict[str, list[str]]:
    """List the files of a folder by each part of their names that ends before a dot."""
    names = defaultdict(list)
    for entry in os.scandir(folder):
        for dot in (i for i, letter in enumerate(entry.name) if letter == "."):
            names[entry.name[:dot]].append(entry.name)
    return names
