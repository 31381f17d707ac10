"""Run benchmarks and write what they print into docs/benchmarks.md: `make bench`.

    python tools/benchmarks/write_page.py growth froc_speed

Without names all benchmarks of this folder run.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.atomic_files import write_text
from data_prep.command_line import reports_errors
from mmglan.version import __version__

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "benchmarks.md"


def section(name: str) -> str:
    """Run one benchmark; returns its section of the page.

    Raises:
        ValueError: There is none of that name, or it failed.
    """
    script = FOLDER / f"{name}.py"
    if not script.is_file():
        raise ValueError(f"Expected a benchmark of {FOLDER.name} but got {name}. Correct the name.")
    done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ValueError(f"Expected {name} to end well but got exit status {done.returncode}.")
    text = done.stdout.strip()
    body = text if text.startswith("|") else f"```\n{text}\n```"
    return f"## `{script.relative_to(FOLDER.parents[1])}`\n\n{body}\n"


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    names = given or sorted(p.stem for p in FOLDER.glob("*.py") if p != Path(__file__))
    head = (
        f"# Benchmarks\n\nWritten by `make bench`: mmglan {__version__}, Python"
        f" {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}. Other work"
        " may have run beside it.\n"
    )
    write_text(PAGE, "\n".join([head, *(section(name) for name in names)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
