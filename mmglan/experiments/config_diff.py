"""What differs between two configs, as paths and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

# Settings that a run reads; other variables of a config file are helpers for these.
EFFECTIVE = (
    *("model", "load_from", "optim_wrapper", "param_scheduler", "auto_scale_lr"),
    *("train_dataloader", "val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"),
    *("train_cfg", "val_cfg", "test_cfg", "default_hooks", "custom_hooks", "custom_imports"),
    *("model_wrapper_cfg", "env_cfg", "randomness", "visualizer", "log_processor"),
)


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

    def walk(path: str, node: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(node, Mapping) and node:
            for key, value in node.items():
                if key != "_scope_":
                    yield from walk(f"{path}.{key}", value)
        elif isinstance(node, (list, tuple)) and any(isinstance(v, Mapping) for v in node):
            for index, value in enumerate(node):
                yield from walk(f"{path}.{index}", value)
        else:
            yield path, list(node) if isinstance(node, tuple) else node

    return {p: v for key in EFFECTIVE if key in cfg for p, v in walk(key, cfg[key])}


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
