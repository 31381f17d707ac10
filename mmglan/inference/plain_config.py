"""A detector's config as data: what a model file may name, and nothing else.

MMEngine's registries take a `type` that they do not know for the path of any Python object, mmcv
evaluates the type of an NMS, and some detectors read configs and checkpoints from paths. So every
name is looked up here first, in the registries as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.utils import import_modules_from_strings

from data_prep.errors import DataError, quoted
from mmglan.detections.stacking import Stacking
from mmglan.inference.averaged_slices import reach_of, stacking_of

# Building from these runs no code but their own.
_MODULES = (
    *(f"mmdet.models.{part}" for part in ("backbones", "necks", "dense_heads", "roi_heads")),
    *(f"mmdet.models.{part}" for part in ("detectors", "losses", "task_modules", "layers")),
    *("mmdet.models.data_preprocessors", "mmglan.models", "mmcv.cnn", "mmcv.ops", "torch.nn"),
    "mmengine.utils.dl_utils.parrots_wrapper",  # SyncBN
)
_PARTS = {"model", "pipeline", "classes", "neighbour_reach", "stacking"}
_STEPS = ("LoadImageFromFile", "LoadSlice", "Resize", "Pad", "PackDetInputs")
# Looked up by name elsewhere than in a registry.
_OTHER_TYPES = ("nms", "soft_nms", "RoIAlign", "RoIPool", "Pretrained")
# Names of files, which are not read, and MMEngine's own directives.
_REFUSED_KEYS = re.compile(r"init_cfg|pretrained|.*config|.*ckpt|.*checkpoint|_.*|.*_file")
_NAME = re.compile(r"[A-Za-z]\w*")
_KEY = re.compile(r"[A-Za-z][\w-]*")  # a dot would reach into another part
_TUPLE = "tuple"
# Settings whose value is looked up in a registry.
_TYPE_KEYS = ("type", "detector")


def plain_config(config: Config) -> dict[str, Any]:
    """Return what inference needs of a config: the names of `_PARTS`.

    Args:
        config: Config of a training run.

    Returns:
        Plain values, without initial weights, that `check_config` accepts.

    Raises:
        DataError: The model needs parts that a model file may not name.
    """
    dataset = config.test_dataloader.dataset
    steps = [_plain(step) for step in dataset.pipeline if step["type"] != "LoadAnnotations"]
    for step in steps:
        step.pop("backend_args", None)
    plain = {
        "model": _without_weights(_plain(config.model)),
        "pipeline": steps,
        "classes": list(dataset.get("metainfo", {}).get("classes", ("lesion",))),
        "neighbour_reach": reach_of(config),
        "stacking": asdict(stacking_of(config)),
    }
    check_config(plain)
    return plain


def to_config(plain: Mapping[str, Any]) -> Config:
    """Return the config that `SliceDetector` takes; nothing in it has been built."""
    dataset = {
        "pipeline": _with_tuples(plain["pipeline"]),
        "metainfo": {"classes": tuple(plain["classes"])},
    }
    model = _with_tuples(plain["model"])
    metric = {name: plain[name] for name in ("neighbour_reach", "stacking")}
    return Config(
        {"model": model, "test_dataloader": {"dataset": dataset}, "test_evaluator": metric}
    )


def check_config(plain: Any) -> None:
    """Refuse a config that names anything but parts of detectors.

    Raises:
        DataError: See above.
    """
    if not isinstance(plain, Mapping) or set(plain) != _PARTS:
        raise DataError(f"Expected a config of {', '.join(sorted(_PARTS))} but got another.")
    if type(plain["neighbour_reach"]) is not int or plain["neighbour_reach"] < 0:
        raise DataError("Expected a whole number as neighbour_reach but got something else.")
    try:
        Stacking(**plain["stacking"])
    except (TypeError, ValueError) as error:
        raise DataError(
            f"Expected iou, gap and score as stacking but got another: {error}."
        ) from None
    classes, steps = plain["classes"], plain["pipeline"]
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError("Expected names of classes in the config but got something else.")
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise DataError("Expected a list of steps as the config's pipeline but got another value.")
    for step in steps:
        if step.get("type") not in _STEPS:
            raise _refused(step.get("type"))
        _check_keys(step)
    if not isinstance(plain["model"], Mapping) or "type" not in plain["model"]:
        raise DataError("Expected a model with a type in the config but got another value.")
    import_modules_from_strings(["mmdet.models", "mmglan.models", "mmglan.datasets"])
    for part in _mappings(plain["model"]):
        _check_keys(part)
        for key in _TYPE_KEYS:
            nested = key != "type" and isinstance(part.get(key), Mapping)  # checked on its own
            if key in part and not nested and not _is_allowed(part[key]):
                raise _refused(part[key])


def _is_allowed(name: Any) -> bool:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return False
    if name in _OTHER_TYPES:
        return True
    kind = next((found for found in _registered(name) if found is not None), None)
    module = getattr(kind, "__module__", "")
    return any(module == allowed or module.startswith(allowed + ".") for allowed in _MODULES)


def _registered(name: str) -> Iterator[Any]:
    """Yield what the registries hold under a name, as `Registry.get` asks them."""
    for registry in (MODELS, TASK_UTILS):
        node: Registry | None = registry
        while node is not None:
            yield node.module_dict.get(name)
            node = node.parent


def _check_keys(part: Mapping) -> None:
    for key in part:
        if not isinstance(key, str) or not _KEY.fullmatch(key) or _REFUSED_KEYS.fullmatch(key):
            raise DataError(
                "Expected a config of plain settings, without files to read, but got the setting "
                f"{quoted(key)}."
            )


def _refused(name: Any) -> DataError:
    return DataError(
        "Expected a config of parts of detectors of MMDetection and mmglan but got "
        f"{quoted(name)}, which is not built from a model file. Use the config and checkpoint."
    )


def _mappings(value: Any) -> Iterator[Mapping]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for entry in value:
            yield from _mappings(entry)


def _plain(value: Any) -> Any:
    """Copy to what JSON holds; tuples, which some parts insist on, become `{"tuple": [...]}`."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(entry) for entry in value]}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise DataError(
        f"Expected a config of plain values but got {quoted(type(value).__name__)}. Write classes"
        " by their names."
    )


def _with_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {_TUPLE}:
            return tuple(_with_tuples(entry) for entry in value[_TUPLE])
        return {key: _with_tuples(entry) for key, entry in value.items()}
    return [_with_tuples(entry) for entry in value] if isinstance(value, list) else value


def _without_weights(value: Any) -> Any:
    """Drop initial weights, which those of the file replace, and settings of the training."""
    if isinstance(value, dict):
        return {
            key: _without_weights(entry)
            for key, entry in value.items()
            if key not in ("init_cfg", "pretrained") and (key, entry) != ("_scope_", "mmdet")
        }
    return [_without_weights(entry) for entry in value] if isinstance(value, list) else value
