"""Write files whole or not at all, never through a link; the only writer of the package.

Content goes to a new file with a random name in the target's folder, which then takes the target's
name in one step. Two writers at once, an interrupt or a full disk leave the old file or a new one.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)


def json_bytes(content: Any) -> bytes:
    """Encode JSON with sorted keys and no NaN: equal content gives equal bytes.

    Raises:
        ValueError: NaN or infinity in `content`.
    """
    return _ENCODER.encode(content).encode() + b"\n"


@contextmanager
def open_atomically(
    path: str | os.PathLike, *, spare_folder: str | os.PathLike | None = None
) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when the `with` block ends well.

    Missing folders are made. A link that stands under the name is replaced, not followed.

    Args:
        path: The file.
        spare_folder: Folder on the same file system for the unfinished file; default the target's
            own.

    Yields:
        A binary stream.

    Raises:
        OSError: The folder or disk cannot take the file; nothing is left behind.
    """
    path = Path(path)
    folder = path.parent if spare_folder is None else Path(spare_folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{secrets.token_hex(8)}.part"
    handle = os.open(unfinished, _FLAGS, 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file; see `open_atomically`."""
    with open_atomically(path) as stream:
        stream.write(content)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a UTF-8 text file; see `open_atomically`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write `json_bytes(content)`; see `open_atomically`."""
    write_bytes(path, json_bytes(content))
