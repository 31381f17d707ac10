"""The one error class of the data preparation: one line that says where, what and what to do."""

from __future__ import annotations

import os
from pathlib import PurePath


class DataError(ValueError):
    """Something in the user's files is not as expected.

    `str(error)` is one line: `bookmarks.csv, row 12, slice 40: Expected … but got …. <advice>`.

    Args:
        message: What was expected, what was found, what to do. Line breaks are folded.
        path: File or folder, as the user knows it: relative to its root. Of an absolute path only
            the last part is shown, because folder names of hospital archives often hold patient
            names.
        row: 1-based line of a table (the header is row 1).
        slice_index: 0-based index of the stored slice.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike | None = None,
        row: int | None = None,
        slice_index: int | None = None,
    ) -> None:
        self.message = printable(message)
        self.path = None if path is None else shown_path(path)
        self.row = row
        self.slice_index = slice_index
        where = [self.path] if self.path else []
        if row is not None:
            where.append(f"row {row}")
        if slice_index is not None:
            where.append(f"slice {slice_index}")
        super().__init__(f"{', '.join(where)}: {self.message}" if where else self.message)

    def __reduce__(self):
        # Keyword-only arguments are lost by the default pickling; workers send these errors home.
        return _rebuild, (self.message, self.path, self.row, self.slice_index)


def _rebuild(
    message: str,
    path: str | None,
    row: int | None,
    slice_index: int | None,
) -> DataError:
    return DataError(message, path=path, row=row, slice_index=slice_index)


def printable(text: str) -> str:
    """Return `text` on one line, with every unprintable character shown as `?`."""
    folded = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in folded)


def shown_path(path: str | os.PathLike) -> str:
    """Return a path as it may be shown: relative paths whole, of absolute ones the last part."""
    pure = PurePath(os.fsdecode(path))
    return printable(pure.name or "." if pure.is_absolute() else pure.as_posix())


def told_apart(a: float, b: float, decimals: int = 1) -> tuple[str, str]:
    """Return two unequal numbers with as many decimals, at least so many, as show them unequal."""
    while decimals < 17 and f"{a:.{decimals}f}" == f"{b:.{decimals}f}":
        decimals += 1
    return f"{a:.{decimals}f}", f"{b:.{decimals}f}"


def quoted(value: object, limit: int = 24) -> str:
    """Return a value found in a file in quotes, shortened to `limit` characters."""
    text = str(value)
    return "'" + printable(text[:limit] + ("…" if len(text) > limit else "")) + "'"
