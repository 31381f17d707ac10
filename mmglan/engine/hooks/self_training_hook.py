"""Training that goes on with what the model itself finds on slices without a bookmark."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import barrier, collect_results, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from data_prep.atomic_files import write_json
from mmglan.detections.coco_files import read_content
from mmglan.detections.followed_lesions import FollowRules, followed_set
from mmglan.engine.visits import number_visits
from mmglan.evaluation.lesion_metric import LesionMetric

FILE = "train_followed.json"
# Detections with lower scores are looked at only if they can continue a lesion (`min_score`); it
# spares the masks of most of them.
LEAST_SCORE = 0.3


@HOOKS.register_module()
class SelfTrainingHook(Hook):
    """Replaces the training set, at the start of an epoch, by one with followed lesions.

    The model predicts all slices of the training volumes; `mmglan.detections.followed_lesions`
    says which of its detections continue a bookmarked lesion and which slices hold none. The set is
    `<work dir>/train_followed.json`, and the rest of the training runs on it. An epoch is as long
    as the new set; the learning rate's schedule is not stretched.

    Args:
        begin: Number of epochs before; 0 where the training starts from a trained detector.
        slices_file: COCO file of all slices of the training volumes, below the data root; default
            that of `mmglan prepare --whole-volumes`, `train_whole.json` for `train.json`.
        min_score: See `FollowRules`, as are the others.
        min_iou: Likewise.
        margin: Likewise.
        empty: Likewise; 0 where not every lesion of a volume has a bookmark.

    Raises:
        ValueError: `begin` is not an epoch of the training, or a data set of several parts.
        TypeError: The loop has no epochs.
        FileNotFoundError: No file of all slices; or a run that is resumed lacks its set.
    """

    priority = "HIGHEST"  # before the visits of the epoch are numbered

    def __init__(self, begin: int, slices_file: str | None = None, **rules: float) -> None:
        self.begin, self.slices_file = begin, slices_file
        self.rules = FollowRules(**rules)
        self.started = False

    def before_train(self, runner: Runner) -> None:
        """Look for what will be needed, before the first epoch."""
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop):
            raise TypeError(
                f"Expected EpochBasedTrainLoop with SelfTrainingHook but got {type(loop).__name__}."
            )
        if not 0 <= self.begin < loop.max_epochs:
            raise ValueError(
                f"Expected SelfTrainingHook to begin after 0 to {loop.max_epochs - 1} epochs of "
                f"{loop.max_epochs} but got {self.begin}. Change begin or max_epochs."
            )
        path = self._slices_path(runner)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: Expected all slices of the training volumes but found no such file. "
                "Write it with mmglan prepare --whole-volumes, or name another slices_file."
            )
        if loop.epoch > self.begin and not self._followed(runner).is_file():
            raise FileNotFoundError(
                f"{self._followed(runner)}: Expected the training set of the epochs before, to "
                f"resume after epoch {loop.epoch}, but found no such file. Resume from epoch "
                f"{self.begin}."
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Replace the training set once, when its turn has come or is over."""
        if self.started or runner.epoch < self.begin:
            return
        self.started = True
        if runner.epoch == self.begin:
            self._write(runner)
        config = copy.deepcopy(runner.cfg.train_dataloader)
        dataset = innermost(config)
        dataset["ann_file"] = str(self._followed(runner).resolve())
        dataset["filter_cfg"] = dict(dataset.get("filter_cfg") or {}, filter_empty_gt=False)
        loop, before = runner.train_loop, len(runner.train_dataloader)
        loop.dataloader = runner.build_dataloader(config, seed=runner.seed)
        loop._max_iters += (len(loop.dataloader) - before) * (loop.max_epochs - runner.epoch)
        number_visits(loop.dataloader, runner.seed)

    def _write(self, runner: Runner) -> None:
        """Predict all slices and write the new training set."""
        slices, marked = self._slices_path(runner), _marked_path(runner)
        loader = self._loader(runner, slices)
        masks = bool(getattr(_plain(runner.model), "with_mask", False))
        metric = LesionMetric(str(slices), iou_types="segm" if masks else "bbox")
        metric.dataset_meta = loader.dataset.metainfo
        print_log(f"Following lesions over {len(loader.dataset)} slices", "current")
        runner.model.eval()
        least = min(LEAST_SCORE, self.rules.min_score)
        with torch.no_grad(), least_score(runner.model, least):
            for number, batch in enumerate(loader, start=1):
                samples = runner.model.test_step(batch)
                metric.process(batch, [sample.to_dict() for sample in samples])
                if number % 50 == 0:
                    print_log(f"Following lesions [{number}/{len(loader)}]", "current")
        found = collect_results(metric.results, len(loader.dataset), "cpu")
        if is_main_process():
            results = metric.coco_results(found, "segm" if masks else "bbox")
            _, content = read_content(marked)
            new = followed_set(content, metric.gt, results, self.rules)
            write_json(self._followed(runner), new)
            followed = len(new["annotations"]) - len(content["annotations"])
            print_log(
                f"{FILE}: {len(new['images'])} slices instead of {len(content['images'])}, "
                f"{followed} followed lesions beside {len(content['annotations'])} bookmarks",
                "current",
            )
        barrier()

    def _loader(self, runner: Runner, slices: Path) -> DataLoader:
        """Build a loader of all slices with the pipeline of the test, or of the validation."""
        config = copy.deepcopy(runner.cfg.get("test_dataloader") or runner.cfg.val_dataloader)
        dataset, training = innermost(config), innermost(runner.cfg.train_dataloader)
        for name in ("data_root", "data_prefix", "metainfo"):
            if name in training:
                dataset[name] = copy.deepcopy(training[name])
        dataset.update(ann_file=str(slices.resolve()), test_mode=True)
        return runner.build_dataloader(config, seed=runner.seed)

    def _followed(self, runner: Runner) -> Path:
        return Path(runner.work_dir) / FILE

    def _slices_path(self, runner: Runner) -> Path:
        marked = _marked_path(runner)
        if self.slices_file is None:
            return marked.with_name(f"{marked.stem}_whole.json")
        return Path(innermost(runner.cfg.train_dataloader).get("data_root", "")) / self.slices_file


def innermost(config: Mapping[str, Any]) -> Any:
    """Return the data set with an annotation file inside a loader's config and its wrappers.

    Raises:
        ValueError: A data set of several parts, or none with `ann_file`.
    """
    while "ann_file" not in config:
        config = config.get("dataset")
        if not isinstance(config, Mapping):
            raise ValueError(
                "Expected one training set with ann_file, to follow its lesions, but got several "
                "or none. Train without SelfTrainingHook, or on one set."
            )
    return config


@contextmanager
def least_score(model: torch.nn.Module, score: float) -> Iterator[None]:
    """Raise the scores from which heads return detections; the settings are restored."""
    settings = [getattr(part, "test_cfg", None) for part in model.modules()]
    settings = [one for one in settings if isinstance(one, dict) and "score_thr" in one]
    before = [one["score_thr"] for one in settings]
    try:
        for one in settings:
            one["score_thr"] = max(one["score_thr"], score)
        yield
    finally:
        for one, value in zip(settings, before, strict=True):
            one["score_thr"] = value


def _plain(model: torch.nn.Module) -> torch.nn.Module:
    return getattr(model, "module", model)


def _marked_path(runner: Runner) -> Path:
    config = innermost(runner.cfg.train_dataloader)
    return Path(config.get("data_root") or "") / config["ann_file"]
