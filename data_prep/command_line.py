"""What the commands say, on terminals of any encoding."""

from __future__ import annotations

import sys


def print_any_character() -> None:
    """Let characters that the terminal does not know be printed as `?` instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
