"""Arguments of the command lines that draw and report."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def at_least(lowest: int) -> Callable[[str], int]:
    """Type of an argument that is a whole number of at least `lowest`."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = lowest - 1
        if number < lowest:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {lowest} but got {text}"
            )
        return number

    return read
