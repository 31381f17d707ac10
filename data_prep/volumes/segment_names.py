"""Which segments of a mask are lesions, by their names: an organ must not become a lesion."""

from __future__ import annotations

import re
from collections.abc import Mapping

from data_prep.errors import DataError, quoted

# Names that speak of a lesion need no note.
_LESION = re.compile(
    r"lesion|nod[eu]|lymph|tumou?r|gtv|metast|mass|neoplas|cancer|\bln\d*\b", re.IGNORECASE
)
_LISTED = 8


def choose(
    names: Mapping[int, str], pattern: str | None, file: str, never: frozenset[int] = frozenset()
) -> tuple[set[int], list[str]]:
    """Choose the segments that are lesions.

    Without a pattern all are, if they are called alike: equal names but for numbers, spaces and
    signs. One name alone gets a note, unless it speaks of a lesion.

    Args:
        names: Name of each segment by its number; empty where the file gives none.
        pattern: Regular expression that names of lesions contain, in capitals or not.
        file: How messages call the file.
        never: Segments that are no lesions by what the file says, unless the pattern names them.

    Returns:
        Numbers of the lesions, and notes.

    Raises:
        DataError: Unlike names and no pattern, or none that fits it.

    >>> choose({1: "Node 1", 2: "node_2", 3: "Liver"}, "node", "a.dcm")
    ({1, 2}, ["a.dcm: 1 of 3 segments left out by --segments: 'Liver'."])
    >>> choose({1: "Node 1", 2: "node_2", 3: "Liver"}, None, "a.dcm")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    data_prep.errors.DataError: a.dcm: Expected segments of lesions only but got 'Node 1', ...
    """
    if pattern is not None:
        taken = {n for n, name in names.items() if re.search(pattern, name, re.IGNORECASE)}
        rest = [name for n, name in names.items() if n not in taken]
        if not taken:
            raise DataError(
                f"Expected a segment whose name fits --segments but got {_listed(rest)}. Correct"
                " the pattern.",
                path=file,
            )
        left = f"{len(rest)} of {len(names)} segments left out by --segments"
        return taken, [f"{file}: {left}: {_listed(rest)}."] if rest else []
    kinds = {_kind(name): name for name in reversed(names.values())}
    alike = sorted(kinds.values(), key=list(names.values()).index)
    if len(alike) > 1 or never & set(names):
        raise DataError(
            f"Expected segments of lesions only but got {_listed(alike)}. Name those of lesions"
            " with --segments, e.g. 'node|lesion', or save them alone.",
            path=file,
        )
    unclear = [name for name in alike if not _LESION.search(name.replace("_", " "))]
    return set(names), [
        f"{file}: segments called {quoted(name)} are taken as lesions." for name in unclear if name
    ]


def _kind(name: str) -> str:
    return re.sub(r"[\W\d_]+", "", name).casefold()


def _listed(names: list[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:_LISTED])
    return shown + (", …" if len(names) > _LISTED else "")
