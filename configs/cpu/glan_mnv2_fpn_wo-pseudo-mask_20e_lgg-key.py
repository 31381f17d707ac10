"""Ours w/o pseudo mask on lgg-key: RECIST boxes, no mask branch."""

_base_ = "./mask-rcnn_mnv2_fpn_wo-pseudo-mask_20e_lgg-key.py"

model = dict(
    type="UncertaintyLossWrapper",
    detector="MaskRCNN",
    tasks="faster_rcnn",
    roi_head=dict(
        type="GlobalLocalRoIHead",
        attention=dict(global_sizes=[1.0], channels=_base_.parts.channels),
    ),
)
