"""What all commands share: types of arguments, output on any terminal, and exit status."""

from __future__ import annotations

import argparse
import functools
import math
import os
import sys
from collections.abc import Callable, Sequence

from data_prep.errors import printable

Main = Callable[[Sequence[str] | None], int]


def print_any_character() -> None:
    """Let characters that the terminal does not know be printed as `?` instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def command_parser(description: str | None, prog: str | None = None) -> argparse.ArgumentParser:
    """Make a parser whose help shows a module's docstring as it is written."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def at_least(lowest: float, kind: type = int) -> Callable[[str], float]:
    """Make an argparse type: a number of at least `lowest`, whole unless `kind` is float."""
    wanted = f"a {'whole ' if kind is int else ''}number of at least {lowest:g}"
    return _number(kind, lambda value: value >= lowest, wanted)


def between(low: float, high: float) -> Callable[[str], float]:
    """Make an argparse type: a number above `low` and below `high`."""
    wanted = f"a number above {low:g} and below {high:g}"
    return _number(float, lambda value: low < value < high, wanted)


def _number(kind: type, accepts: Callable[[float], bool], wanted: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not accepts(value):
            raise argparse.ArgumentTypeError(f"expected {wanted} but got {text}")
        return value

    return read


def reports_errors(main: Main) -> Main:
    """Make a command print its errors as one line and end with the exit status that fits.

    Args:
        main: Takes the arguments (None for those of the process) and returns 0 if all is done, 1
            if something asked for was left out.

    Returns:
        The same, but for bad input and files that cannot be read or written, `error: …` on
        standard error and status 2; 130 after an interrupt, 141 where the reader of the output
        has gone (`mmglan configs | head -1`).
    """

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        print_any_character()
        try:
            status = main(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (ValueError, OSError) as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return 130
        return status

    return run
