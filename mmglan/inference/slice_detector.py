"""A trained detector that takes the slices of a volume in batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from data_prep.dataset.coco_entries import VALUE_RANGE
from data_prep.dataset.slice_selection import Slices
from data_prep.errors import DataError
from mmglan.engine.checkpoint_guard import safe_load
from mmglan.inference.linking import Detections2D
from mmglan.inference.soft_masks import SoftMask

# Loaders of files: a volume brings its slices as arrays.
_LOADERS = ("LoadImageFromFile", "LoadImageFromNDArray")


class SliceDetector:
    """Predict on axial slices as the config's test pipeline prepares them.

    Args:
        config: Config file, or the config itself.
        checkpoint: Weights; None keeps the initial ones.
        device: `cpu`, `cuda`, `cuda:1`.
        normalize: Normalisation of slices, as `prepare --normalize`.
        batch_size: Slices per forward pass.
        min_score: Detections of a lower score are dropped before masks are made.

    Raises:
        DataError: The checkpoint is of another model, or holds more than weights.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None,
        *,
        device: str = "cpu",
        normalize: str = "image",
        batch_size: int = 8,
        min_score: float = 0.0,
    ) -> None:
        self.config = config if isinstance(config, Config) else Config.fromfile(Path(config))
        init_default_scope("mmdet")
        self.model = MODELS.build(self.config.model)
        if checkpoint is not None:
            _load_weights(self.model, checkpoint)
        self.model.to(device).eval()
        self.normalize, self.batch_size = normalize, batch_size
        self.classes = tuple(
            self.config.test_dataloader.dataset.get("metainfo", {}).get("classes", ("lesion",))
        )
        pipeline = self.config.test_dataloader.dataset.pipeline
        self.context = max((int(step.get("context", 0)) for step in pipeline), default=0)
        self.pipeline = Compose([step for step in pipeline if step["type"] not in _LOADERS])
        self.min_score = min_score
        self._prepare_heads(min_score)

    def _prepare_heads(self, min_score: float) -> None:
        """Ask for soft masks, and for no masks of detections that nobody will see."""
        detector = getattr(self.model, "detector", self.model)
        head = getattr(detector, "roi_head", None)
        if head is None or head.test_cfg is None:
            return
        head.test_cfg["score_thr"] = max(float(head.test_cfg.get("score_thr", 0.0)), min_score)
        if "mask_thr_binary" in head.test_cfg:
            head.test_cfg["mask_thr_binary"] = -1

    def detect(self, array: np.ndarray) -> Iterator[tuple[int, Detections2D]]:
        """Yield (slice index, detections) for every axial slice.

        Args:
            array: Axial volume `(Z, Y, X)`.
        """
        slices = Slices(array, self.normalize)
        depth = len(array)
        for first in range(0, depth, self.batch_size):
            indices = range(first, min(first + self.batch_size, depth))
            packed = [self.pipeline(self._slice(slices, z, depth)) for z in indices]
            batch = {
                "inputs": [item["inputs"] for item in packed],
                "data_samples": [item["data_samples"] for item in packed],
            }
            with torch.inference_mode():
                results = self.model.test_step(batch)
            for z, result in zip(indices, results, strict=True):
                # Detectors without RoIs know no lowest score but their own.
                instances = result.pred_instances
                yield z, _detections(instances[instances.scores >= self.min_score])

    def _slice(self, slices: Slices, z: int, depth: int) -> dict:
        near = [
            slices.normalized(min(max(z + k, 0), depth - 1))
            for k in range(-self.context, self.context + 1)
        ]
        image = near[0] if self.context == 0 else np.stack(near, axis=2)
        return {"img": image, "img_id": z, "img_path": None, "value_range": VALUE_RANGE}


def _load_weights(model: torch.nn.Module, checkpoint: str | os.PathLike) -> None:
    """Load a checkpoint without running code from it; every weight of the model must be there."""
    content = safe_load(checkpoint, map_location="cpu")
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    try:
        missing = model.load_state_dict(state, strict=False).missing_keys
    except RuntimeError:  # a weight of another shape
        missing = ["weights of its sizes"]
    if missing:
        raise DataError(
            f"Expected the weights of this config's detector but {missing[0]} is not there. "
            "Give the config that the checkpoint was trained with.",
            path=checkpoint,
        )


def _detections(instances) -> Detections2D:
    masks = instances.get("masks")
    if isinstance(masks, torch.Tensor):
        masks = masks.cpu().numpy()
    return Detections2D(
        boxes=instances.bboxes.float().cpu().numpy(),
        scores=instances.scores.float().cpu().numpy(),
        labels=instances.labels.cpu().numpy(),
        masks=None if masks is None else [SoftMask.of(np.asarray(mask)) for mask in masks],
    )
