"""Cascade Mask R-CNN with both modules (beyond the paper): one attention per stage."""

_base_ = "../baselines/cascade-mask-rcnn_r50_fpn_160e_lesions.py"

_base_.model.roi_head.update(type="GlobalLocalCascadeRoIHead", attention=dict(global_sizes=[1.0]))
model = dict(
    _delete_=True,
    type="UncertaintyLossWrapper",
    detector=_base_.model,
    backbone=dict(init_cfg=None),  # where init_detector looks
    tasks="cascade_mask_rcnn",
)
