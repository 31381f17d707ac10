"""Ours w/o pseudo mask: RECIST boxes, no mask branch."""

_base_ = "../baselines/mask-rcnn_r50_fpn_wo-pseudo-mask_160e_lesions.py"

model = dict(
    type="UncertaintyLossWrapper",
    detector="MaskRCNN",
    tasks="faster_rcnn",
    roi_head=dict(type="GlobalLocalRoIHead", attention=dict(global_sizes=[1.0])),
)
