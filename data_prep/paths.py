"""Paths that come out of files are held inside the folder that the user named."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from data_prep.errors import DataError, quoted

_SERIES = re.compile(r"#(\d+(\.\d+)+|\d+-\d+)$")


def without_series(volume: str) -> str:
    """Return the path of a volume: `folder` of `folder#UID` (DICOM) or `folder#5-17` (PNG slices).

    Other `#` belong to names.
    """
    return _SERIES.sub("", volume)


def check_relative(relative: str | os.PathLike) -> str:
    """Check a path by its text alone: not empty, not absolute, not leaving its root.

    Returns:
        The path as normalised text with `/` between its parts.

    Raises:
        DataError: If the text is no such path.
    """
    text = os.fspath(relative)
    if not isinstance(text, str) or not text.strip():
        raise DataError("Expected a path below the image folder but got an empty one. Fill it in.")
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise DataError(
            f"Expected a path but got {quoted(text)} with unusable characters. Correct the path."
        )
    windows = PureWindowsPath(text)
    if text.startswith(("/", "\\", "~")) or windows.drive:
        # Only the last part is shown: absolute paths may hold patient names.
        name = windows.name or PurePosixPath(text).name
        raise DataError(
            f"Expected a path relative to the image folder but got an absolute one that ends in "
            f"{quoted(name)}. Give it relative to the image folder."
        )
    parts: list[str] = []
    for part in text.replace("\\", "/").split("/"):
        if part == "..":
            if not parts:
                raise DataError(
                    f"Expected a path inside the image folder but got {quoted(text)}, which "
                    "leaves it. Remove the '..' parts."
                )
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or "."


def resolve_under(root: str | os.PathLike, relative: str | os.PathLike) -> Path:
    """Join `relative` to `root` and refuse whatever would lead outside, links included.

    Args:
        root: Folder that the user named.
        relative: Path as written in a file. It need not exist.

    Returns:
        `root / relative` with `.` and `..` removed, links not followed.

    Raises:
        DataError: If the path is absolute, leaves `root`, or passes through a link that does.
    """
    clean = check_relative(relative)
    path = Path(root) / clean
    try:
        base = Path(root).resolve()
        # `folder#UID` names a series of `folder`, which may be a link.
        inside = all(
            (Path(root) / part).resolve().is_relative_to(base)
            for part in {clean, clean.partition("#")[0]}
        )
        _check_usable(path)
    except (OSError, RuntimeError, ValueError):
        raise DataError(
            "Expected a readable path but got a link that never ends or a name that the system "
            "refuses. Correct the path.",
            path=clean,
        ) from None
    if not inside:
        raise DataError(
            "Expected a path inside the image folder but got a link that leaves it. Copy the data "
            "into the folder or name the folder that holds it.",
            path=clean,
        )
    return path


class PathsBelow:
    """Paths below one folder, as `resolve_under` gives them, where there are many.

    Args:
        root: Folder that the user named.

    Raises (when called):
        DataError: As `resolve_under`.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        self.root = Path(root)
        self._sound: set[str] = set()

    def __call__(self, relative: str | os.PathLike) -> Path:
        """Return `root / relative`."""
        clean = check_relative(relative)
        folder = clean.rpartition("/")[0] or "."
        if folder not in self._sound:
            resolve_under(self.root, folder)
            self._sound.add(folder)
        path = self.root / clean
        return resolve_under(self.root, clean) if path.is_symlink() else path


def check_no_link(root: str | os.PathLike, relative: str | os.PathLike) -> None:
    """Raise DataError if `relative` or a folder on the way to it from `root` is a link."""
    path = Path(root)
    for part in PurePosixPath(relative).parts:
        path /= part
        if path.is_symlink():
            raise DataError(
                "Expected a folder or file of the output but got a link. Remove the link, or name"
                " another output folder.",
                path=path.relative_to(root),
            )


def _check_usable(path: Path) -> None:
    """Raise OSError for endless links and impossible names; a missing file is no error."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise


def relative_name(path: str | os.PathLike, root: str | os.PathLike | None = None) -> str:
    """Return how a path is shown and identified: relative to `root`, else its last part."""
    path = Path(path)
    if root is not None:
        for base, target in (
            (Path(root), path),
            (Path(os.path.abspath(root)), Path(os.path.abspath(path))),
        ):
            if target.is_relative_to(base):
                name = target.relative_to(base).as_posix()
                return Path(os.path.abspath(path)).name if name == "." else name
    return Path(os.path.abspath(path)).name
