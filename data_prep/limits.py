"""What is read at all: files and no pipes, and no more bytes than a limit, before it is decoded.

`MMGLAN_MAX_GIB` in the environment raises the limit (default 4 GiB a file, decoded or not) and what
follows from it: voxels of a volume, pixels of a slice, deflated headers, texts and archives.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from data_prep.errors import DataError

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_PNG = b"\x89PNG\r\n\x1a\n"
_RAISE = "If that is meant, raise the limit with MMGLAN_MAX_GIB in the environment."
# What Python needs at most, in bytes, for what stands at or after a character of a text.
_JSON = {b"{": 240, b"[": 100, b",": 70, b":": 110, b'"': 35}
_TABLE = {b",": 70, b";": 70, b"\t": 70, b"\n": 300}


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


def check_size(size: int, name: str, what: str = "") -> None:
    """Raise DataError if `size` bytes are more than `max_bytes`.

    Args:
        size: In bytes.
        name: How messages call the file.
        what: What has that size, if it is not the file itself.
    """
    if size > (limit := max_bytes()):
        raise DataError(
            f"Expected at most {limit / 2**30:g} GiB{what and ' of ' + what} but got"
            f" {size / 2**30:.1f} GiB. {_RAISE}",
            path=name,
        )


def max_voxels() -> int:
    """Return the limit of a volume: 2^29 (512 x 512 x 2048) of at most 8 bytes by default."""
    return max_bytes() >> 3


def max_pixels() -> int:
    """Return the limit of a slice: 2^26 (8192 x 8192) by default."""
    return max_bytes() >> 6


def check_png(content: bytes, name: str) -> None:
    """Refuse a PNG whose header promises more pixels than a slice has; other bytes pass.

    Raises:
        DataError: It does.
    """
    if content[:8] != _PNG or len(content) < 24:
        return
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    if width * height > (limit := max_pixels()):
        raise DataError(
            f"Expected a slice of at most {limit} pixels but got {width} x {height}. Remove it."
            f" {_RAISE}",
            path=name,
        )


def check_json(content: bytes, name: str) -> None:
    """Refuse a JSON text whose values may need more memory than `max_bytes`."""
    check_size(json_memory(content), name, "memory for its values")


def check_table(content: bytes, name: str) -> None:
    """Refuse a table whose cells may need more memory than `max_bytes`."""
    check_size(table_memory(content), name, "memory for its cells")


def json_memory(content: bytes) -> int:
    """Return how many bytes the values of a JSON text need at most."""
    return _memory(content, _JSON)


def table_memory(content: bytes) -> int:
    """Return how many bytes the rows of a table need at most, as lists or dictionaries."""
    return _memory(content, _TABLE)


def _memory(content: bytes, weights: Mapping[bytes, int]) -> int:
    # A character may take four bytes, in the text and in a value.
    letters = len(content) * (2 if content.isascii() else 8)
    return letters + sum(weight * content.count(mark) for mark, weight in weights.items())
