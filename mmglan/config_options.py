"""Let `--cfg-options` change the variables of a config, and refuse names that nothing reads.

MMEngine merges the options into a config whose files have been read: by then a variable such as
`batch_size` has gone into the settings that use it, and changing it has no effect. Here a variable
of `KNOBS` that an option changed is written into its settings; another one, or a misspelt name, is
an error that names the setting to use.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmengine.config import Config

# Variables that users change -> patterns of the settings that hold their value.
KNOBS = {
    "data_root": ("*_dataloader.*data_root", "*_evaluator.*_file"),
    "volumes_root": ("*_dataloader.*data_root", "*_evaluator.*_file"),
    "image_scale": ("*_dataloader.*pipeline.*.scale",),
    "batch_size": ("train_dataloader.batch_size",),
    "num_workers": ("*_dataloader.num_workers",),
    "max_epochs": ("train_cfg.max_epochs", "train_cfg.val_interval", "param_scheduler.*.T_max"),
    "learning_rate": ("optim_wrapper.optimizer.lr",),
    "seed": ("randomness.seed",),
    "vis_backends": ("visualizer.vis_backends",),
}
# What MMEngine's runner and MMDetection's train.py and test.py read; the rest are variables.
READ = (
    *("model", "load_from", "resume", "work_dir", "experiment_name", "data_preprocessor"),
    *("train_dataloader", "val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"),
    *("train_cfg", "val_cfg", "test_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr"),
    *("default_hooks", "custom_hooks", "visualizer", "log_processor", "log_level", "randomness"),
    *("default_scope", "env_cfg", "launcher", "runner_type", "model_wrapper_cfg", "sync_bn"),
    *("compile", "find_unused_parameters", "activation_checkpointing", "efficient_conv_bn_eval"),
    *("tta_model", "tta_pipeline", "classes"),
)


class ConfigOptionError(ValueError):
    """An option names a setting that no run reads."""


def with_options_in_effect(cfg: Config) -> Config:
    """Let the options merged into the config of a file act, see `put_in_effect`.

    Args:
        cfg: Config of a file, after its options were merged; it is not changed.

    Returns:
        The config to run; `cfg` itself if its file is not known.

    Raises:
        ConfigOptionError: See `put_in_effect`.
    """
    if not isinstance(cfg, Config) or not cfg.filename or not Path(cfg.filename).is_file():
        return cfg
    given, cfg = Config.fromfile(cfg.filename, import_custom_modules=False), copy.deepcopy(cfg)
    put_in_effect(cfg, given)
    return cfg


def put_in_effect(cfg: Config, given: Config) -> None:
    """Write variables that options changed into the settings that hold their value.

    A setting that an option changed by its own path keeps that value.

    Args:
        cfg: Config with options, to change.
        given: The config as its file has it.

    Raises:
        ConfigOptionError: An option changes a variable that is no knob, or has a name that looks
            like a misspelt one.
    """
    _check_names(given, cfg)
    before, now = dict(settings(given)), dict(settings(cfg))
    for name in given:
        if name not in READ and name in now and now[name] != before[name]:
            set_variable(cfg, name, now[name], before)


def set_variable(cfg: Config, name: str, value: Any, before: Mapping[str, Any]) -> None:
    """Change a variable of a config and the settings that hold its value.

    Args:
        cfg: Config to change.
        name: One of `KNOBS`.
        value: New value.
        before: Path -> value of all settings of the config as its file has it. Settings that
            have another value now are left alone.

    Raises:
        ConfigOptionError: The variable is no knob, or no setting holds its value.
    """
    old, now = before[name], dict(settings(cfg))
    if name.endswith("_root"):
        value = str(value).rstrip("/") + "/"
    elif isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    held = [path for path in _matching(name, before) if _holds(before[path], old)]
    if name not in KNOBS or not held:
        raise ConfigOptionError(_advice(name, _matching(name, before) if name in KNOBS else held))
    cfg[name] = value
    for path in held:
        if now.get(path) == before[path]:
            rest = before[path][len(old) :] if name.endswith("_root") else ""
            cfg.merge_from_dict({path: value + rest if rest else value})


def settings(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through a config, a part before what it holds: dotted path and value."""
    for key, value in parts(tree):
        below = f"{path}.{key}" if path else str(key)
        yield below, value
        yield from settings(value, below)


def parts(node: Any) -> Iterable[tuple[Any, Any]]:
    """Key and value of what a part of a config holds; nothing for a value, or a list of values."""
    if isinstance(node, (Mapping, Config)):
        return node.items()
    if isinstance(node, (list, tuple)) and any(isinstance(item, Mapping) for item in node):
        return enumerate(node)
    return ()


def _matching(name: str, known: Mapping[str, Any]) -> list[str]:
    patterns = KNOBS.get(name, ("*",))
    return [
        path
        for path in known
        if path.split(".")[0] in READ and any(fnmatchcase(path, p) for p in patterns)
    ]


def _holds(value: Any, of_variable: Any) -> bool:
    """Tell whether a setting is the value of a variable, or a path below that folder."""
    if isinstance(value, str) and isinstance(of_variable, str) and of_variable.endswith("/"):
        return value.startswith(of_variable)
    return value == of_variable


def _advice(name: str, paths: list[str]) -> str:
    why = "whose value no setting has" if name in KNOBS else "that only the config file itself uses"
    head = f"--cfg-options {name}: Expected a setting that a run reads but got a variable {why}."
    paths = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
    if not paths:
        return f"{head} Change the config file, or the settings that are made from it."
    more = f" and {len(paths) - 6} more" if len(paths) > 6 else ""
    return f"{head} Set {', '.join(paths[:6])}{more}."


def _check_names(given: Any, now: Any, path: str = "") -> None:
    """Refuse new names that look like misspelt ones, and tell of those that nothing may read.

    Args:
        given: Part of the config as its file has it.
        now: The same part with the options.
        path: Of the part, with a dot at its end.

    Raises:
        ConfigOptionError: See `put_in_effect`.
    """
    known, present = dict(parts(given)), dict(parts(now))
    for key in known.keys() & present.keys():
        _check_names(known[key], present[key], f"{path}{key}.")
    for key in sorted(present.keys() - known.keys(), key=str):
        taken = parameters_of(now) if path else set(READ)
        if key in taken:
            continue
        names = {*map(str, known), *taken}
        if similar := get_close_matches(str(key), names, 1, 0.8 if path else 0.6):
            raise ConfigOptionError(
                f"--cfg-options {path}{key}: Expected a setting of the config but got an unknown "
                f"name. Did you mean {path}{similar[0]}?"
            )
        if not (isinstance(present[key], Mapping) and "type" in present[key]):
            from mmengine.logging import print_log  # imports PyTorch

            note = f"--cfg-options {path}{key}: the config had no such setting."
            print_log(note, "current", logging.WARNING)


def parameters_of(node: Mapping[str, Any]) -> set[str]:
    """Name what the class that a part of a config stands for can be given; empty if unknown.

    Args:
        node: Part with a `type` (and a `detector`, whose settings stand beside its own).
    """
    if not isinstance(node, Mapping) or "type" not in node:
        return set()
    from mmdet import registry
    from mmengine.registry import Registry

    names = [name for name in (node["type"], node.get("detector")) if isinstance(name, str)]
    registries = [item for item in vars(registry).values() if isinstance(item, Registry)]
    found = {each.get(name) for name in names for each in registries} - {None}
    classes = {base for item in found if inspect.isclass(item) for base in item.__mro__}
    calls = [*(base.__init__ for base in classes), *filter(inspect.isfunction, found)]
    every = {name for call in calls for name in inspect.signature(call).parameters}
    return every - {"self", "args", "kwargs"}
