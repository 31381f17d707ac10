"""What differs between two configs, as paths and in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
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
        return "nothing"


ABSENT = _Absent()
Change = tuple[Any, Any]
_FORM: Change = ("one form", "another form")


def flatten(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a config out as dotted paths.

    Args:
        cfg: config.

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
        first: config.
        second: config.

    Returns:
        Path -> (value in the first, value in the second), `ABSENT` where there is none.
    """
    old, new = flatten(first), flatten(second)
    return {
        path: (old.get(path, ABSENT), new.get(path, ABSENT))
        for path in sorted(old.keys() | new.keys())
        if old.get(path, ABSENT) != new.get(path, ABSENT)
    }


def _losses(change: Change, paths: dict[str, Change]) -> str:
    tasks = paths.get("model.tasks", (ABSENT, ABSENT))
    if change[1] == "UncertaintyLossWrapper":
        return f"The losses are weighted by learned uncertainty (tasks of {tasks[1]})."
    if change[0] == "UncertaintyLossWrapper":
        return "The losses have fixed weights, not learned ones."
    return f"The detector is {change[1]}, not {change[0]}."


def _attention(change: Change, paths: dict[str, Change]) -> str:
    sizes = paths.get("model.roi_head.attention.global_sizes", (ABSENT, ABSENT))
    if "GlobalLocal" in str(change[1]) and "GlobalLocal" not in str(change[0]):
        shares = ", ".join(f"{size:g}" for size in sizes[1] or [1.0])
        return f"The box branch attends to global features (boxes of {shares} of the image)."
    if "GlobalLocal" in str(change[0]) and "GlobalLocal" not in str(change[1]):
        return "The box branch sees local features only: no global-local attention."
    return f"The RoI head is {change[1]}, not {change[0]}."


def _mask_branch(change: Change, paths: dict[str, Change]) -> str:
    return "There is no mask branch." if change[1] in (None, ABSENT) else "There is a mask branch."


_TASKS = {
    "rpn_head.loss_cls": "RPN classification",
    "rpn_head.loss_bbox": "RPN box",
    "bbox_head.loss_cls": "classification",
    "bbox_head.loss_bbox": "box",
    "mask_head.loss_mask": "mask",
}


def _loss_weight(path: str, change: Change) -> str:
    name = next((words for part, words in _TASKS.items() if part in path), path)
    return f"The weight of the {name} loss is {change[1]:g}, not {change[0]:g}."


def _file_name(value: Any) -> str:
    return str(value).rsplit("/", 1)[-1]


# First the rules about one path that also explain others: (path, words, what they explain).
_LEADING: list[tuple[str, Callable[[Change, dict[str, Change]], str], str]] = [
    ("model.type", _losses, r"model\.(type|detector|tasks)$"),
    ("model.roi_head.type", _attention, r"model\.roi_head\.(type$|attention)"),
    ("model.roi_head.mask_head", _mask_branch, r"model\.roi_head\.mask_"),
    ("model.roi_head.mask_head.type", _mask_branch, r"model\.roi_head\.mask_"),
]
_SINGLE: list[tuple[str, Callable[[str, Change], str]]] = [
    (r"^model.*loss_weight$", _loss_weight),
    (
        r"attention\.global_sizes$",
        lambda p, c: f"The global boxes cover {c[1]} of the image, not {c[0]}.",
    ),
    (r"attention\.norm_cfg\.type$", lambda p, c: f"The attention is normalised by {c[1]}."),
    (
        r"^(train|val|test)_dataloader\.dataset\.ann_file$",
        lambda p, c: (
            f"The {p.split('_')[0]} split is read from {_file_name(c[1])}, not {_file_name(c[0])}."
        ),
    ),
    (
        r"^load_from$",
        lambda p, c: (
            f"Training starts from {_file_name(c[1])}, not {_file_name(c[0])}."
            if c[1]
            else "Training starts from scratch."
        ),
    ),
    (
        r"^optim_wrapper\.type$",
        lambda p, c: "Training is in mixed precision." if "Amp" in c[1] else f"{p} is {c[1]}.",
    ),
    (r"max_epochs$", lambda p, c: f"Training takes {c[1]} epochs, not {c[0]}."),
    (
        r"filter_empty_gt$",
        lambda p, c: f"Slices without lesions are {'left out of' if c[1] else 'part of'} training.",
    ),
    (r"\.optimizer\.lr$", lambda p, c: f"The learning rate is {c[1]:g}, not {c[0]:g}."),
]


def _without_consequences(changes: dict[str, Change]) -> dict[str, Change]:
    """Leave out what follows from another change: settings of a part of another type or form."""
    exchanged = {path.removesuffix("type") for path in changes if path.endswith(".type")}
    stages = {m[1] for path in changes if (m := re.match(r"(.+?)\.\d+\.", path))}
    listed = {stage for stage in stages if any(re.match(rf"{stage}\.[a-z]", p) for p in changes)}

    def follows(path: str) -> bool:
        if path.endswith("loss_weight") and ABSENT not in changes[path]:
            return False
        in_part = any(path.startswith(part) and path != f"{part}type" for part in exchanged)
        return in_part or any(path.startswith(f"{stage}.") for stage in listed)

    kept = {path: change for path, change in changes.items() if not follows(path)}
    return kept | {f"{stage} (one per stage or one for all)": _FORM for stage in sorted(listed)}


def in_words(changes: dict[str, Change]) -> list[str]:
    """Say what the differences are.

    Args:
        changes: see `differences`.

    Returns:
        One sentence per difference, the ones that matter most first. What no rule knows is
        given as path and values.
    """
    left = dict(changes)
    sentences = []
    for path, words, explained in _LEADING:
        if path in left:
            sentences.append(words(left[path], changes))
            left = {p: c for p, c in left.items() if not re.search(explained, p)}
    left = _without_consequences(left)
    for path, change in left.items():
        rule = next((words for pattern, words in _SINGLE if re.search(pattern, path)), None)
        if change is _FORM:
            sentences.append(f"{path} has another form.")
        elif rule is not None and ABSENT not in change:
            sentences.append(rule(path, change))
        elif change[0] is ABSENT:
            sentences.append(f"{path} is {change[1]!r}; the first has none.")
        elif change[1] is ABSENT:
            sentences.append(f"{path} is gone; the first has {change[0]!r}.")
        else:
            sentences.append(f"{path} is {change[1]!r}, not {change[0]!r}.")
    return sentences
