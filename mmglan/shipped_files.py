"""The configs and scripts that come with the package, in a source tree or an installed wheel."""

from __future__ import annotations

import ast
import difflib
from pathlib import Path


def shipped_folder(name: str) -> Path:
    """Find a folder that comes with the package.

    Args:
        name: `configs` or `tools`.

    Returns:
        `mmglan/.mim/<name>` of an installed wheel, else the folder beside the package.

    Raises:
        FileNotFoundError: The installation has neither.
    """
    package = Path(__file__).resolve().parent
    for parent in (package / ".mim", package.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(
        f"Expected {name} in {package.name}/.mim or beside the package but found none. "
        "Install mmglan from a wheel, or with `pip install -e` from its source tree."
    )


def shipped_configs() -> dict[str, Path]:
    """Return the configs that can be trained, by name without `.py`, in the order of folders."""
    files = sorted(shipped_folder("configs").glob("[!_]*/*.py"))
    return {path.stem: path for path in files}


def find_config(name: str) -> Path:
    """Find a config.

    Args:
        name: Path of a file, or the name of a config that comes with the package, with or without
            its folder and `.py`.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: There is no such config.
    """
    if name.endswith(".py") and Path(name).is_file():
        return Path(name)
    shipped = shipped_configs()
    stem = Path(name).name.removesuffix(".py")
    path = shipped.get(stem)
    if path is not None and path.with_suffix("").as_posix().endswith(
        f"/{name.removesuffix('.py')}"
    ):
        return path
    similar = difflib.get_close_matches(stem, shipped, n=1)
    hint = f"Did you mean {similar[0]}? " if similar else ""
    raise FileNotFoundError(
        f"{name}: Expected a config but found no such file or name. {hint}See mmglan configs."
    )


def describe_config(path: Path) -> str:
    """Return the first line of a config's docstring; empty if there is none."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return docstring.splitlines()[0] if docstring else ""
