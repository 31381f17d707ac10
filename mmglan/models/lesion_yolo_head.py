"""YOLOv3's head, which in MMDetection knows no regions to ignore, with them."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.dense_heads import YOLOV3Head
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps

# Share of an anchor inside a region above which nothing is learned from it.
IGNORE_IOF = 0.5


@MODELS.register_module()
class LesionYOLOV3Head(YOLOV3Head):
    """mmdet's head; anchors inside regions to ignore are no background."""

    _regions: Any = None

    def loss_by_feat(
        self, pred_maps, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore=None
    ) -> dict:
        """Compute the parent's losses."""
        self._regions = batch_gt_instances_ignore
        try:
            return super().loss_by_feat(
                pred_maps, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
            )
        finally:
            self._regions = None

    def get_targets(self, anchor_list, responsible_flag_list, batch_gt_instances) -> tuple:
        """Return the parent's targets; anchors in regions to ignore count as no negatives.

        Args:
            anchor_list: For each image the anchors of each level, `(N, 4)` x1, y1, x2, y2.
            responsible_flag_list: For each image and level `(N,)`.
            batch_gt_instances: Lesions of each image.

        Returns:
            Targets and maps of negatives, a tensor for each level.
        """
        targets, negatives = super().get_targets(
            anchor_list, responsible_flag_list, batch_gt_instances
        )
        for image, regions in enumerate(self._regions or ()):
            if regions is None or not len(regions):
                continue
            for level, anchors in enumerate(anchor_list[image]):
                inside = bbox_overlaps(anchors, regions.bboxes, mode="iof").max(dim=1).values
                keep = (inside <= IGNORE_IOF).reshape(negatives[level][image].shape)
                negatives[level][image] *= keep.to(torch.uint8)
        return targets, negatives
