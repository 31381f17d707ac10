"""Cascade Mask R-CNN with both modules (beyond the paper): one attention per stage."""

_base_ = "../baselines/cascade-mask-rcnn_r50_fpn_160e_lesions.py"

model = dict(
    type="UncertaintyLossWrapper",
    detector="CascadeRCNN",
    tasks="cascade_mask_rcnn",
    roi_head=dict(type="GlobalLocalCascadeRoIHead", attention=dict(global_sizes=[1.0])),
)
