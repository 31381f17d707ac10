"""Write files whole or not at all, never through a link; the only writer of the package.

Content goes to a new file with a random name in the target's folder, which then takes the target's
name in one step. Two writers at once, an interrupt or a full disk leave the old file or a new one.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from data_prep.shown_text import csv_cell

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NO_LINK


def json_bytes(content: Any, *, indent: int | None = None) -> bytes:
    """Encode JSON with sorted keys and no NaN: equal content gives equal bytes.

    Args:
        content: What JSON can hold.
        indent: Spaces per level; None writes everything on one line.

    Raises:
        ValueError: NaN or infinity in `content`.
    """
    if indent is None:
        return _ENCODER.encode(content).encode() + b"\n"
    return json.dumps(content, sort_keys=True, allow_nan=False, indent=indent).encode() + b"\n"


@contextmanager
def open_atomically(
    path: str | os.PathLike,
    *,
    spare_folder: str | os.PathLike | None = None,
    permissions: int = 0o666,
) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when the `with` block ends well.

    Missing folders are made. A link that stands under the name is replaced, not followed.

    Args:
        path: The file.
        spare_folder: Folder on the same file system for the unfinished file; default the target's
            own.
        permissions: Of the file, less what the process masks (`umask`).

    Yields:
        A binary stream.

    Raises:
        OSError: The folder or disk cannot take the file; nothing is left behind.
    """
    path = Path(path)
    folder = path.parent if spare_folder is None else Path(spare_folder)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{secrets.token_hex(8)}.part"
    handle, nameless = _open_new(unfinished, permissions)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            if nameless:
                # With a folder's descriptor, which it does not need, Python follows the link.
                os.link(f"/proc/self/fd/{handle}", unfinished, src_dir_fd=handle)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def _open_new(path: Path, permissions: int) -> tuple[int, bool]:
    """Open a new file; without a name (True) where the system can: a killed run leaves nothing."""
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        with suppress(OSError):  # not on this file system
            return os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, permissions), True
    return os.open(path, _FLAGS, permissions), False


def write_bytes(path: str | os.PathLike, content: bytes, *, permissions: int = 0o666) -> Path:
    """Write a file; see `open_atomically`.

    Returns:
        `path`.
    """
    with open_atomically(path, permissions=permissions) as stream:
        stream.write(content)
    return Path(path)


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write a UTF-8 text file; see `write_bytes`."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, content: Any, *, indent: int | None = None) -> Path:
    """Write `json_bytes` of the content; see `write_bytes`."""
    return write_bytes(path, json_bytes(content, indent=indent))


def write_csv(
    path: str | os.PathLike,
    header: Sequence[str],
    rows: Iterable[Sequence],
    *,
    permissions: int = 0o666,
) -> Path:
    """Write `csv_text` as UTF-8; bytes of file names that are no text become `?`.

    See `write_bytes`.
    """
    content = csv_text(header, rows).encode("utf-8", "replace")
    return write_bytes(path, content, permissions=permissions)


def csv_text(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Return a CSV table in which no text is a formula; see `csv_cell`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return text.getvalue()


def write_link(path: str | os.PathLike, target: str | os.PathLike) -> Path:
    """Make `path` a symbolic link to `target`, in one step, whatever stood there before."""
    path = Path(path)
    unfinished = path.with_name(f".{secrets.token_hex(8)}.part")
    unfinished.symlink_to(target)
    os.replace(unfinished, path)
    return path


def open_lock(path: str | os.PathLike) -> int:
    """Open a lock file, made if absent, without following a link or changing its content.

    Returns:
        Its descriptor, for reading and writing.

    Raises:
        OSError: A link, or a file that has another name too, stands there, or no file; or the
            folder cannot be written.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK | os.O_NONBLOCK, 0o666)
    found = os.fstat(lock)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(lock)
        raise OSError(errno.ELOOP, "a link or no plain file in the place of a lock")
    return lock


def replace_folder(unfinished: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Give a folder that was filled under another name its own name, in one step.

    Args:
        unfinished: The filled folder, on the same file system.
        folder: Its name; absent, or an empty folder.

    Raises:
        OSError: The name is taken or the disk cannot take it.
    """
    os.replace(unfinished, folder)
