"""How a model file is told from other zip archives, without reading it."""

from __future__ import annotations

import os
from pathlib import Path

# The archive's comment: this, and the SHA-256 of all bytes before it in 64 digits.
LABEL = b"mmglan model 1 sha256 "
COMMENT_SIZE = len(LABEL) + 64


def is_model_file(path: str | os.PathLike) -> bool:
    """Tell whether a file ends as model files do; archives of scans do not."""
    path = Path(path)
    if path.suffix.lower() != ".zip" or not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - COMMENT_SIZE, 0))
        return stream.read(len(LABEL)) == LABEL
