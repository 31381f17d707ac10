"""Views of a slice at test time, boxes and masks: what MMDetection's `test.py --tta` builds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData

from mmglan.inference.fusion import fuse, mirrored
from mmglan.inference.linking import Detections2D
from mmglan.inference.slice_detector import read_instances


@MODELS.register_module()
class FusedViewsTTA(BaseTTAModel):
    """Fuse the detections on several views of a slice as `mmglan infer --tta flip` does.

    Views may be mirrored left to right, of several sizes, or both. Boxes are fused by score
    (`mmglan.inference.fusion.fuse`), masks with the same weights, where MMDetection's
    `DetTTAModel` keeps the best box of the views and refuses masks.
    """

    def test_step(self, data: dict) -> list:
        """Predict on each view as on a slice of its own, then fuse.

        Heads that know of flips would undo them, cascades by an operation that fails.
        """
        for view in data["data_samples"]:
            for sample in view:
                direction = sample.get("flip_direction") if sample.get("flip") else None
                sample.set_metainfo(dict(flip=False, flip_direction=None, view_flip=direction))
        return super().test_step(data)

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list:
        """Fuse the predictions of each slice.

        Args:
            data_samples_list: The views of each slice, with `ori_shape` and `view_flip`, the
                direction of a mirrored view; boxes in pixels of the view at its original size.

        Returns:
            One sample per slice: the first view's, with the fused `pred_instances`.

        Raises:
            ValueError: A view is mirrored in another direction.
        """
        return [_fused(views) for views in data_samples_list]


def _fused(views: Sequence[DetDataSample]) -> DetDataSample:
    found = fuse([_upright(view) for view in views])
    sample = views[0]
    sample.pred_instances = InstanceData(
        bboxes=torch.from_numpy(found.boxes).float(),
        scores=torch.from_numpy(found.scores).float(),
        labels=torch.from_numpy(found.labels),
    )
    if found.masks is not None:
        planes = [mask.whole() >= 128 for mask in found.masks]
        masks = np.stack(planes) if planes else np.zeros((0, *sample.ori_shape[:2]), bool)
        sample.pred_instances.masks = torch.from_numpy(masks)
    return sample


def _upright(view: DetDataSample) -> Detections2D:
    found = read_instances(view.pred_instances)
    if view.view_flip is None:
        return found
    if view.view_flip != "horizontal":
        raise ValueError(
            "Expected views mirrored from left to right (flip_direction 'horizontal') but got "
            f"{view.view_flip!r}. Leave it out of tta_pipeline."
        )
    return mirrored(found, view.ori_shape[1])
