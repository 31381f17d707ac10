"""Which loss keys make up which task, for the detectors of MMDetection.

A task is a name and a pattern (shell style) over whole loss keys. Cascades number their keys by
stage: `s0.loss_cls`, `s1.loss_cls`, …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

Tasks = dict[str, tuple[str, ...]]

_RPN = {"rpn_cls": ("loss_rpn_cls",), "rpn_box": ("loss_rpn_bbox",)}
_BOX = {"cls": ("loss_cls",), "box": ("loss_bbox",)}
_MASK = {"mask": ("loss_mask",)}
_STAGES = range(3)


def _over_stages(tasks: Tasks) -> Tasks:
    return {name: tuple(f"s[0-9].{p}" for p in patterns) for name, patterns in tasks.items()}


def _per_stage(tasks: Tasks) -> Tasks:
    return {
        f"s{stage}_{name}": tuple(f"s{stage}.{p}" for p in patterns)
        for stage in _STAGES
        for name, patterns in tasks.items()
    }


PRESETS: dict[str, Tasks] = {
    "faster_rcnn": {**_RPN, **_BOX},
    "mask_rcnn": {**_RPN, **_BOX, **_MASK},
    "cascade_rcnn": {**_RPN, **_over_stages(_BOX)},
    "cascade_mask_rcnn": {**_RPN, **_over_stages({**_BOX, **_MASK})},
    "cascade_rcnn_per_stage": {**_RPN, **_per_stage(_BOX)},
    "cascade_mask_rcnn_per_stage": {**_RPN, **_per_stage({**_BOX, **_MASK})},
    "htc": {**_RPN, **_over_stages({**_BOX, **_MASK}), "semantic": ("loss_semantic_seg",)},
    "retinanet": _BOX,
    "fcos": {**_BOX, "centerness": ("loss_centerness",)},
    "vfnet": {**_BOX, "box_refine": ("loss_bbox_rf",)},
    "yolov3": {
        "cls": ("loss_cls",),
        "conf": ("loss_conf",),
        "xy": ("loss_xy",),
        "wh": ("loss_wh",),
    },
}

_REGRESSION_WORDS = ("box", "xy", "wh")


def resolve_tasks(tasks: str | Mapping[str, str | Sequence[str]]) -> Tasks:
    """Return the tasks of a preset, or those given, as names and tuples of patterns.

    Args:
        tasks: Name of a preset, or task name to pattern or patterns.

    Raises:
        ValueError: No such preset, no task at all, or a task name that would corrupt the logs.
    """
    if isinstance(tasks, str):
        if tasks not in PRESETS:
            raise ValueError(
                f"Expected tasks to be one of {sorted(PRESETS)} or a dict but got {tasks!r}."
            )
        return dict(PRESETS[tasks])
    resolved = {
        name: (patterns,) if isinstance(patterns, str) else tuple(patterns)
        for name, patterns in tasks.items()
    }
    if not resolved or not all(resolved.values()):
        raise ValueError(f"Expected at least one pattern for every task but got {dict(tasks)}.")
    if bad := [name for name in resolved if "loss" in name]:
        raise ValueError(
            f"Expected task names without 'loss' but got {bad}: MMEngine sums every "
            "logged value with this word in its name."
        )
    return resolved


def regression_tasks(tasks: Tasks) -> tuple[str, ...]:
    """Return the names of the tasks that regress boxes, told by the last part of the name."""
    return tuple(
        name for name in tasks if any(word in name.split("_") for word in _REGRESSION_WORDS)
    )


def claim_keys(loss_keys: Sequence[str], tasks: Tasks) -> dict[str, str]:
    """Find the task of each loss key.

    Args:
        loss_keys: Keys of a detector's losses.
        tasks: Patterns by task name.

    Returns:
        Loss key to task name; unclaimed keys are absent.

    Raises:
        ValueError: Two tasks claim one key.
    """
    claimed = {}
    for key in loss_keys:
        owners = [name for name, pats in tasks.items() if any(fnmatchcase(key, p) for p in pats)]
        if len(owners) > 1:
            raise ValueError(f"Expected one task for the loss {key!r} but got {owners}.")
        if owners:
            claimed[key] = owners[0]
    return claimed
