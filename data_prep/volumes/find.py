"""Which volume a bookmark file belongs to, when the file itself names none."""

from __future__ import annotations

import os
from pathlib import Path

from data_prep.errors import DataError, quoted
from data_prep.paths import check_relative

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_MAX_ENTRIES = 1_000_000


def strip_suffix(name: str) -> str:
    """Return a volume's name without the ending of its format."""
    lower = name.lower()
    return next((name[: -len(s)] for s in _SUFFIXES if lower.endswith(s)), name)


def by_name(stem: str, image_root: Path | None, file: str) -> str:
    """Return the volume whose name is `stem`, or whose name `stem` starts with.

    `case7` and `case7_node2` belong to `case7.nii.gz` or to the folder `case7` anywhere
    below the image folder; the longest name that fits wins.

    Args:
        stem: Name of the bookmark file without its ending.
        image_root: Folder of the volumes. Without it, `stem` itself is taken for the volume.
        file: How messages call the bookmark file.

    Raises:
        DataError: No volume or several volumes fit.
    """
    if image_root is None:
        return check_relative(stem)
    best: list[str] = []
    best_length = 0
    seen = 0
    for folder, folders, names in os.walk(image_root):
        folders.sort()
        seen += len(names) + len(folders)
        if seen > _MAX_ENTRIES:
            break
        volumes = [n for n in sorted(names) if strip_suffix(n) != n]
        for entry in [*volumes, *folders]:
            name = strip_suffix(entry)
            fits = stem == name or (stem.startswith(name) and stem[len(name)] in "_-. ")
            if not fits or len(name) < best_length:
                continue
            path = Path(folder) / entry
            if path.is_dir() and not (path := _slices_below(path)):
                continue
            found = path.relative_to(image_root).as_posix()
            best = [*best, found] if len(name) == best_length else [found]
            best_length = len(name)
    if len(best) != 1:
        got = (
            "none"
            if not best
            else f"{len(best)}, e.g. {quoted(best[0], 1000)} and {quoted(best[1], 1000)}"
        )
        raise DataError(
            f"Expected one volume called {quoted(stem)} in the image folder but got {got}. Name "
            "the file after its volume, or name the volume.",
            path=file,
        )
    return best[0]


def _slices_below(folder: Path) -> Path | None:
    """Go down while there is one subfolder and nothing else, as archives nest their series."""
    for _ in range(8):
        entries = [e for e in sorted(folder.iterdir()) if not e.name.startswith(".")]
        if any(e.is_file() for e in entries):
            has_volume = any(strip_suffix(e.name) != e.name for e in entries)
            return None if has_volume else folder
        if len(entries) != 1:
            return None
        folder = entries[0]
    return None
