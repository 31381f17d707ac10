"""JSON of received files, read once it is known that its values fit in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_prep.limits import check_file, check_json


def load_json(
    path: Path, name: str | None = None, parse_constant: Callable[[str], Any] | None = None
) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        name: How messages call it; default its last part.
        parse_constant: What to do with NaN and infinity, as in `json.loads`.

    Raises:
        OSError: It cannot be read.
        DataError: It is a pipe, or too large.
        ValueError: It is no JSON.
    """
    name = path.name if name is None else name
    check_file(path, name)
    return parse_json(path.read_bytes(), name, parse_constant)


def parse_json(
    content: bytes, name: str, parse_constant: Callable[[str], Any] | None = None
) -> Any:
    """Return the value of a JSON text; see `load_json`."""
    check_json(content, name)
    try:
        return json.loads(content, parse_constant=parse_constant)
    except RecursionError:
        raise ValueError("lists or objects nested too deep") from None
