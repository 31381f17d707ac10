"""`classes = (...)` in a config: one line names the classes of data, model and metrics."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from mmengine.config import Config

from mmglan.config_options import ConfigOptionError, settings


def with_classes(cfg: Config) -> Config:
    """Let the variable `classes` of a config act: `metainfo` of data sets, `num_classes` of heads.

    Args:
        cfg: Config to run; it is not changed.

    Returns:
        Config: `cfg` itself where it has no `classes`.

    Raises:
        ConfigOptionError: Not a list of distinct names, or a data set with other classes.
    """
    classes = cfg.get("classes")
    if classes is None:
        return cfg
    named = isinstance(classes, (list, tuple)) and all(isinstance(one, str) for one in classes)
    if not named or not classes or len(set(classes)) < len(classes):
        raise ConfigOptionError(
            f"classes: Expected distinct names, as ('node', 'cyst'), but got {classes!r}."
        )
    classes, cfg = tuple(classes), copy.deepcopy(cfg)
    for path, part in list(settings(cfg)):
        if not isinstance(part, Mapping):
            continue
        if path.split(".")[0].endswith("_dataloader") and "ann_file" in part:
            own = part.get("metainfo", {}).get("classes", classes)
            if tuple(own) != classes:
                raise ConfigOptionError(
                    f"{path}.metainfo.classes: Expected classes = {classes} but got {own!r}. Leave "
                    "one of the two out."
                )
            part["metainfo"] = {**part.get("metainfo", {}), "classes": classes}
        if path.split(".")[0] == "model" and "num_classes" in part:
            part["num_classes"] = len(classes)
    return cfg
