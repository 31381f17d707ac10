"""Categories of annotation files: read, and found by the names of a model's classes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any


def read_categories(entries: Any, where: str) -> dict[int, str]:
    """Read the categories of an annotation file.

    Args:
        entries: The file's `categories`; None where it has none.
        where: File, for messages.

    Returns:
        dict[int, str]: Names by id, in the file's order; empty where there are none.

    Raises:
        ValueError: An entry without a whole number as id and a name, or one that repeats.
    """
    if entries is None:
        return {}
    if not isinstance(entries, list):
        raise ValueError(f"{where}: Expected a list of categories but got {entries!r}")
    categories: dict[int, str] = {}
    for row, entry in enumerate(entries):
        number, name = (
            (entry.get("id"), entry.get("name")) if isinstance(entry, Mapping) else (None, None)
        )
        if type(number) is not int or not isinstance(name, str) or not name:
            raise ValueError(
                f"{where}: categories[{row}]: Expected a whole number as id and a name "
                f"but got {entry!r}"
            )
        if number in categories or name in categories.values():
            raise ValueError(
                f"{where}: categories[{row}]: Expected distinct ids and names but got {number} "
                f"({name}) again"
            )
        categories[number] = name
    return categories


def category_ids(classes: Sequence[str], categories: Mapping[int, str], where: str) -> list[int]:
    """Find the id of each class in an annotation file, by its name.

    Args:
        classes: Names of a model's classes; label `i` stands for `classes[i]`.
        categories: Of the file, see `read_categories`.
        where: File, for messages.

    Returns:
        list[int]: One id for each class; 1, 2, … for a file without categories.

    Raises:
        ValueError: The file does not list a class; the nearest name is suggested.

    Examples:
        >>> category_ids(['cyst', 'node'], {3: 'node', 7: 'cyst'}, 'gt.json')
        [7, 3]
    """
    if not categories:
        return list(range(1, len(classes) + 1))
    by_name = {name: number for number, name in categories.items()}
    missing = [name for name in classes if name not in by_name]
    if missing:
        near = difflib.get_close_matches(missing[0], by_name, n=1)
        raise ValueError(
            f"{where}: Expected categories {missing} but got {list(by_name)}. "
            + (f"Did you mean {near[0]!r} for {missing[0]!r}? " if near else "")
            + "Set metainfo=dict(classes=...) to the file's own."
        )
    return [by_name[name] for name in classes]
