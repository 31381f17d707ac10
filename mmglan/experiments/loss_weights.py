"""The loss weights that a config sets, by their paths."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any


def loss_weights(tree: Any, path: str = "model") -> Iterator[tuple[str, float]]:
    """Find the loss weights of a model config: path and present value."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == "loss_weight":
                yield f"{path}.{key}", value
            else:
                yield from loss_weights(value, f"{path}.{key}")
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from loss_weights(value, f"{path}.{index}")


def matching_settings(model: Any, name: str) -> list[str]:
    """List the settings that a name stands for: itself, or with `*` all matching loss weights.

    A cascade has a loss of each kind per stage:
    `model.roi_head.bbox_head.*.loss_cls.loss_weight` is that of all stages together.

    Args:
        model: model config.
        name: setting, or pattern of paths of loss weights.

    Raises:
        ValueError: no loss weight fits the pattern.
    """
    if "*" not in name:
        return [name]
    paths = [path for path, _ in loss_weights(model)]
    found = [path for path in paths if fnmatchcase(path, name)]
    if not found:
        raise ValueError(f"Expected loss weights that fit {name} but got {', '.join(paths)}.")
    return found
