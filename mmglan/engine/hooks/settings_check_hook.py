"""What a config asks for is checked before the training, not after its first epochs."""

from __future__ import annotations

import copy
import difflib
import logging
import warnings
from typing import Any

import torch
from mmdet.registry import HOOKS, METRICS
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmglan.datasets.uint8_transforms import check_pipeline


@HOOKS.register_module()
class SettingsCheckHook(Hook):
    """Refuses metrics that are not computed and transforms that cannot take slices.

    Metrics are `save_best` of the checkpoints and `monitor` of early stopping.

    What `LesionMetric` computes is known before: it depends on the annotations and on whether the
    model predicts masks. Names of other metrics are let through.

    Raises:
        ValueError: A name that the validation will not compute; or see `check_pipeline`.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Look through the pipelines, and compare names with those that a validation gives."""
        check_pipeline(*_pipelines(runner.train_dataloader.dataset))
        if runner.val_loop is None:
            return
        metrics = runner.val_loop.evaluator.metrics
        ours = [one for one in metrics if isinstance(one, METRICS.get("LesionMetric"))]
        if not ours:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        known = {name for one in ours for name in metric_names(one, model)}
        for setting, name in _asked(runner):
            foreign = len(ours) < len(metrics) and not name.startswith(f"{ours[0].prefix}/")
            if name in known or foreign:
                continue
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Choose one of {sorted(known)}."
            raise ValueError(
                f"{setting}: Expected a metric that val_evaluator computes but got {name!r}. {hint}"
            )


def metric_names(metric: Any, model: torch.nn.Module) -> list[str]:
    """Name what a `LesionMetric` will compute for a model.

    Args:
        metric: It is not changed.
        model: Detector; whether it predicts masks decides.
    """
    probe = copy.copy(metric)
    probe.results, probe.outfile_prefix = [], None
    image = probe.gt.images[0]
    nothing = dict(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0).long())
    if getattr(model, "with_mask", False):
        nothing["masks"] = torch.zeros(0, image["height"], image["width"], dtype=torch.bool)
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probe.process({}, [dict(img_id=image["id"], pred_instances=nothing)])
            return [f"{metric.prefix}/{name}" for name in probe.compute_metrics(probe.results)]
    finally:
        logger.setLevel(level)


def _asked(runner: Runner) -> list[tuple[str, str]]:
    """Name of each setting that names a metric, and that metric."""
    asked = []
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best is not None:
            asked += [("save_best", name) for name in hook.key_indicators if name != "auto"]
        if isinstance(hook, EarlyStoppingHook):
            asked.append(("EarlyStoppingHook.monitor", hook.monitor))
    return asked


def _pipelines(dataset: Any) -> list[Any]:
    """Pipelines of a data set and of those that it wraps, which a slice goes through in turn."""
    parts = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    inner = [one for part in parts if part is not None for one in _pipelines(part)]
    own = getattr(dataset, "pipeline", None)
    return [*inner, own]
