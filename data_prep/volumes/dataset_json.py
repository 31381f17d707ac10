"""The names of labels that nnU-Net's `dataset.json` gives to the masks of a data set."""

from __future__ import annotations

from pathlib import Path

from data_prep.errors import DataError
from data_prep.json_files import load_json

FILE_NAME = "dataset.json"


def label_names(mask: Path) -> dict[int, str]:
    """Return the name of each label of a mask; empty if no `dataset.json` lists them.

    The file lies beside the masks or beside their folder. Version 1 lists names by label, version 2
    labels by name, where one name may stand for several labels (a region).

    Raises:
        DataError: The file is broken.
    """
    for folder in (mask.parent, mask.parent.parent):
        path = folder / FILE_NAME
        if path.is_file():
            try:
                content = load_json(path)
            except ValueError:
                raise DataError(
                    f"Expected JSON in the {FILE_NAME} of the masks but got broken text. Repair it,"
                    " or move it elsewhere.",
                    path=mask.name,
                ) from None
            listed = content.get("labels") if isinstance(content, dict) else None
            return _by_number(listed) if isinstance(listed, dict) else {}
    return {}


def _by_number(listed: dict) -> dict[int, str]:
    """Return names by label, of either version, without the background.

    >>> _by_number({"background": 0, "organ": [1, 2], "lesion": 2})
    {1: 'organ', 2: 'organ, lesion'}
    """
    found: dict[int, list[str]] = {}
    for key, value in listed.items():
        if isinstance(value, str) and key.isdecimal() and len(key) < 10:
            found.setdefault(int(key), []).append(value)
        numbers = value if isinstance(value, list) else [value]
        for number in numbers:
            if isinstance(number, int) and not isinstance(number, bool):
                found.setdefault(number, []).append(key)
    return {number: ", ".join(names) for number, names in sorted(found.items()) if number > 0}
