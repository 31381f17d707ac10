"""What differs between two configs, as paths and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmglan.config_options import READ, parts, settings


class _Absent:
    def __repr__(self) -> str:
        return "not set"


ABSENT = _Absent()
Change = tuple[Any, Any]


def flatten(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out a config as dotted paths.

    Args:
        cfg: Config.

    Returns:
        Path -> value of every setting that a run reads. A list of plain values is one value.
    """
    return {
        path: list(value) if isinstance(value, tuple) else value
        for path, value in settings(cfg)
        if path.split(".")[0] in READ and not parts(value) and not path.endswith("_scope_")
    }


def differences(first: Config, second: Config) -> dict[str, Change]:
    """Compare two configs.

    Args:
        first: Config.
        second: Config.

    Returns:
        Path -> (value in the first, value in the second), `ABSENT` where there is none.
    """
    old, new = flatten(first), flatten(second)
    return {
        path: (old.get(path, ABSENT), new.get(path, ABSENT))
        for path in sorted(old.keys() | new.keys())
        if old.get(path, ABSENT) != new.get(path, ABSENT)
    }
