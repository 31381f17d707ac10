"""A trained detector that takes the slices of a volume in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from data_prep.dataset.coco_entries import VALUE_RANGE
from data_prep.dataset.one_volume.slice_selection import Slices
from data_prep.errors import DataError
from mmglan.inference.detector_model import DetectorModel
from mmglan.inference.linking import Detections2D
from mmglan.inference.memory import give_back
from mmglan.inference.soft_masks import SoftMask

# Loaders of files: a volume brings its slices as arrays.
_LOADERS = ("LoadImageFromFile", "LoadImageFromNDArray")
_BATCHES_TO_GIVE_BACK = 4  # it takes 8 ms


class SliceDetector:
    """Predict on axial slices as the config's test pipeline prepares them.

    Args:
        model: Config and weights.
        device: `cpu`, `cuda`, `cuda:1`.
        batch_size: Slices per forward pass.
        min_score: Detections of a lower score are dropped before masks are made.
        amp: Run backbone and neck in bfloat16 where PyTorch deems that safe.

    Raises:
        DataError: The weights are those of another model, or there is no such device.
    """

    def __init__(
        self,
        model: DetectorModel,
        *,
        device: str = "cpu",
        batch_size: int = 8,
        min_score: float = 0.0,
        amp: bool = False,
    ) -> None:
        init_default_scope("mmdet")
        self.network = MODELS.build(model.config.model)
        if model.weights is not None:
            _load_weights(self.network, model)
        self.device = _device(device)
        self.network.to(self.device).eval()
        if amp:
            _extract_in_bfloat16(self.network, self.device.type)
        self.normalize, self.batch_size = model.normalize, batch_size
        self.classes = model.classes
        pipeline = model.config.test_dataloader.dataset.pipeline
        self.context = max((int(step.get("context", 0)) for step in pipeline), default=0)
        self.pipeline = Compose([step for step in pipeline if step["type"] not in _LOADERS])
        self.min_score = min_score
        self._prepare_heads(min_score)

    def _prepare_heads(self, min_score: float) -> None:
        """Ask for soft masks, and for no masks of detections that nobody will see."""
        detector = getattr(self.network, "detector", self.network)
        head = getattr(detector, "roi_head", None)
        if head is None or head.test_cfg is None:
            return
        head.test_cfg["score_thr"] = max(float(head.test_cfg.get("score_thr", 0.0)), min_score)
        if "mask_thr_binary" in head.test_cfg:
            head.test_cfg["mask_thr_binary"] = -1

    def detect(self, array: np.ndarray) -> Iterator[tuple[int, Detections2D]]:
        """Yield (slice index, detections) for every axial slice.

        While the network works on a batch, a thread prepares the next one and reads the last.

        Args:
            array: Axial volume `(Z, Y, X)`.
        """
        slices = array if self.normalize is None else Slices(array, self.normalize)
        depth = len(array)
        starts = range(0, depth, self.batch_size)
        batches = [range(first, min(first + self.batch_size, depth)) for first in starts]
        with ThreadPoolExecutor(1) as helper:
            coming = helper.submit(self.prepare, slices, batches[0], depth) if batches else None
            going = None
            for number, indices in enumerate(batches, start=1):
                batch = coming.result()
                if number < len(batches):
                    coming = helper.submit(self.prepare, slices, batches[number], depth)
                results = self.predict(batch)
                if number % _BATCHES_TO_GIVE_BACK == 0:
                    give_back(array)
                if going is not None:
                    yield from going.result()
                going = helper.submit(self._read, indices, results)
            if going is not None:
                yield from going.result()

    def predict(self, batch: dict) -> list:
        """Run the network on a batch."""
        with torch.inference_mode():
            return self.network.test_step(batch)

    def prepare(self, slices, indices: Sequence[int], depth: int) -> dict:
        """Return slices as the network takes them."""
        packed = [self.pipeline(self._slice(slices, z, depth)) for z in indices]
        return {
            "inputs": [item["inputs"] for item in packed],
            "data_samples": [item["data_samples"] for item in packed],
        }

    def _slice(self, slices, z: int, depth: int) -> dict:
        read = slices.__getitem__ if self.normalize is None else slices.normalized
        near = [read(min(max(z + k, 0), depth - 1)) for k in range(-self.context, self.context + 1)]
        image = near[0] if self.context == 0 else np.stack(near, axis=2)
        known = {"value_range": VALUE_RANGE, "normalize": self.normalize}
        return {"img": image, "img_id": z, "img_path": None, **known}

    def _read(self, indices: Sequence[int], results: Sequence) -> list[tuple[int, Detections2D]]:
        found = []
        for z, result in zip(indices, results, strict=True):
            # Detectors without RoIs know no lowest score but their own.
            instances = result.pred_instances
            keep = instances.scores >= self.min_score
            found.append((z, read_instances(instances if keep.all() else instances[keep])))
        return found


def _extract_in_bfloat16(network: torch.nn.Module, device: str) -> None:
    """Run what makes the features in bfloat16; mmcv's NMS on CPUs takes float32 only."""
    detector = getattr(network, "detector", network)
    extract = detector.extract_feat

    def extract_feat(*inputs):
        with torch.autocast(device, torch.bfloat16):
            features = extract(*inputs)
        return tuple(feature.float() for feature in features)

    detector.extract_feat = extract_feat


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"Expected a device of this machine but got {name} ({reason}). Use --device cpu, or "
            "see mmglan doctor."
        ) from None
    return device


def _load_weights(network: torch.nn.Module, model: DetectorModel) -> None:
    """Load the weights; every one of the network must be there."""
    try:
        missing = network.load_state_dict(model.weights, strict=False).missing_keys
    except RuntimeError:  # a weight of another shape
        missing = ["weights of its sizes"]
    if missing:
        raise DataError(
            f"Expected the weights of this config's detector but {missing[0]} is not there. "
            "Give the config that the checkpoint was trained with.",
            path=model.name,
        )


def read_instances(instances) -> Detections2D:
    """Return the `pred_instances` of a slice as detections."""
    masks = instances.get("masks")
    if isinstance(masks, torch.Tensor):
        masks = masks.cpu().numpy()
    return Detections2D(
        boxes=instances.bboxes.float().cpu().numpy(),
        scores=instances.scores.float().cpu().numpy(),
        labels=instances.labels.cpu().numpy(),
        masks=None if masks is None else [SoftMask.of(np.asarray(mask)) for mask in masks],
    )
