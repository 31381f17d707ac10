"""Remarks of the readers of volumes: warnings, or lines of a report if somebody collects them.

Python's own way to collect warnings is one for all threads of a process: they would get each
other's, or none.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_lines: ContextVar[list[str] | None] = ContextVar("remarks", default=None)


def remark(text: str) -> None:
    """Say something about the file that is being read."""
    lines = _lines.get()
    if lines is None:
        warnings.warn(text, stacklevel=2)
    else:
        lines.append(text)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Collect what this thread remarks on inside `with`, instead of warning of it."""
    lines: list[str] = []
    token = _lines.set(lines)
    try:
        yield lines
    finally:
        _lines.reset(token)
