"""What is read at all: files and no pipes, and no more bytes than a limit, before it is decoded.

`MMGLAN_MAX_GIB` in the environment raises the limit (default 4 GiB a file, decoded or not).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from data_prep.errors import DataError

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_PNG = b"\x89PNG\r\n\x1a\n"


def max_bytes() -> int:
    """Return the limit of a file's bytes, as it is and decoded.

    Raises:
        DataError: `MMGLAN_MAX_GIB` is no number above 0.
    """
    text = os.environ.get("MMGLAN_MAX_GIB", "4")
    try:
        limit = float(text) * 2**30
    except ValueError:
        limit = 0.0
    if not 0 < limit < 2**60:
        raise DataError("Expected MMGLAN_MAX_GIB as a number above 0 but got another text.")
    return int(limit)


def check_file(path: str | os.PathLike, name: str | None = None) -> None:
    """Refuse pipes, sockets and devices, on which a reader waits for ever, and files too large.

    A file that is not there is left to its reader.

    Args:
        path: The file.
        name: How messages call it; default its last part.

    Raises:
        DataError: It is none, or larger than `max_bytes`.
    """
    name = Path(path).name if name is None else name
    try:
        found = os.stat(path)
    except OSError:
        return
    if (kind := _KINDS.get(stat.S_IFMT(found.st_mode))) is not None:
        raise DataError(f"Expected a file but got {kind}. Remove it.", path=name)
    if stat.S_ISREG(found.st_mode):
        check_size(found.st_size, name)


def check_size(size: int, name: str) -> None:
    """Raise DataError if `size` bytes are more than `max_bytes`."""
    if size > (limit := max_bytes()):
        raise DataError(
            f"Expected at most {limit / 2**30:g} GiB but got {size / 2**30:.1f} GiB. If that is"
            " meant, raise the limit with MMGLAN_MAX_GIB in the environment.",
            path=name,
        )


def check_png(content: bytes, name: str, most_pixels: int = 1 << 26) -> None:
    """Refuse a PNG whose header promises more pixels than a slice has; other bytes pass.

    Raises:
        DataError: It does.
    """
    if content[:8] != _PNG or len(content) < 24:
        return
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    if width * height > most_pixels:
        raise DataError(
            f"Expected a slice of at most {most_pixels} pixels but got {width} x {height}."
            " Remove it.",
            path=name,
        )
