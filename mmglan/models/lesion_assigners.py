"""Assigners that learn nothing from regions to ignore, nor, by option, from unmarked lesions.

MMDetection's assigners call every prior background where a slice has no lesion, also inside the
regions to ignore of that slice. Bookmarks are incomplete: a RoI far from every bookmark that the
model takes for a lesion may be one that nobody marked.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult, ATSSAssigner, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

BACKGROUND, NEITHER = 0, -1
# A RoI that overlaps a bookmark by less is near none.
NEAR_IOU = 0.1


def leave_out_ignored(
    assigned: AssignResult,
    priors: torch.Tensor,
    regions: InstanceData | None,
    ignore_iof_thr: float,
) -> AssignResult:
    """Make background priors inside regions to ignore neither lesion nor background, in place.

    Args:
        assigned: Of N priors.
        priors: `(N, 4)` x1, y1, x2, y2.
        regions: With `bboxes` `(r, 4)`; None for none.
        ignore_iof_thr: Share of a prior inside a region above which it is left out; off if not
            positive.
    """
    if regions is None or not len(regions) or not len(priors) or ignore_iof_thr <= 0:
        return assigned
    inside = bbox_overlaps(priors, regions.bboxes, mode="iof").max(dim=1).values > ignore_iof_thr
    assigned.gt_inds[inside & (assigned.gt_inds == BACKGROUND)] = NEITHER
    return assigned


@TASK_UTILS.register_module()
class LesionMaxIoUAssigner(MaxIoUAssigner):
    """mmdet's assigner with regions to ignore on every slice, and unmarked lesions.

    Args:
        unmarked_score: RoIs with at least this score that overlap no bookmark (IoU below 0.1) are
            neither lesion nor background. Only on slices with bookmarks: slices without are known
            to hold no lesion. It has an effect where the priors have scores: on the RoIs of a
            first stage, not on anchors. None turns it off.
        **options: See `MaxIoUAssigner`.

    Raises:
        ValueError: `unmarked_score` is not between 0 and 1.
    """

    def __init__(self, *args: Any, unmarked_score: float | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        if unmarked_score is not None and not 0 < unmarked_score <= 1:
            raise ValueError(
                f"Expected an unmarked_score above 0 and up to 1 but got {unmarked_score}."
            )
        self.unmarked_score = unmarked_score

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Assign priors as the parent does, then leave out what may be a lesion."""
        assigned = super().assign(pred_instances, gt_instances, gt_instances_ignore, **kwargs)
        priors = pred_instances.priors
        leave_out_ignored(assigned, priors, gt_instances_ignore, self.ignore_iof_thr)
        scores = pred_instances.get("scores")
        if self.unmarked_score is not None and scores is not None and len(gt_instances):
            far = assigned.max_overlaps < NEAR_IOU
            unmarked = far & (scores >= self.unmarked_score)
            assigned.gt_inds[unmarked & (assigned.gt_inds == BACKGROUND)] = NEITHER
        return assigned


@TASK_UTILS.register_module()
class LesionATSSAssigner(ATSSAssigner):
    """mmdet's ATSS assigner with regions to ignore on every slice."""

    def assign(
        self,
        pred_instances: InstanceData,
        num_level_priors: list[int],
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> AssignResult:
        """Assign priors as the parent does, then leave out the regions to ignore."""
        assigned = super().assign(
            pred_instances, num_level_priors, gt_instances, gt_instances_ignore
        )
        priors = pred_instances.priors
        return leave_out_ignored(assigned, priors, gt_instances_ignore, self.ignore_iof_thr)
