"""The console script `mmglan`: finds a subcommand, imports it and hands over."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from data_prep.command_line import print_any_character, reports_errors
from mmglan.commands.subcommands import SUBCOMMANDS, help_page
from mmglan.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mmglan`; returns the exit status of the subcommand, 2 if there is no such one."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    print_any_character()
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if not words:
        print(help_page(), file=sys.stderr)
        return 2
    name = words[0]
    if name in ("-h", "--help"):
        return _show(help_page())
    if name == "--version":
        return _show(f"mmglan {__version__}")
    if name not in SUBCOMMANDS:
        similar = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
        hint = f"Did you mean {similar[0]}? " if similar else ""
        print(
            f"error: Expected a command of mmglan but got {name}. {hint}See mmglan --help.",
            file=sys.stderr,
        )
        return 2
    return run(name, words[1:])


@reports_errors
def _show(text: str) -> int:
    print(text)
    return 0


def run(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        name: Its name.
        arguments: Its arguments; default those of this process.

    Returns:
        Its exit status; 2 if a package that it needs is missing.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # What argparse shows as the program, and what records of runs state as the command.
    sys.argv = [f"mmglan {name}", *arguments]
    try:
        module = importlib.import_module(SUBCOMMANDS[name].module)
    except ModuleNotFoundError as error:
        print(
            f"error: Expected {error.name} for mmglan {name} but it is not installed. "
            "Run mmglan doctor.",
            file=sys.stderr,
        )
        return 2
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return module.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
