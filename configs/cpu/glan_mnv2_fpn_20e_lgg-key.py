"""Ours on lgg-key: global-local attention and the multi-task uncertainty loss of the paper."""

_base_ = "./mask-rcnn_mnv2_fpn_20e_lgg-key.py"

model = dict(
    type="UncertaintyLossWrapper",
    detector="MaskRCNN",
    tasks="mask_rcnn",
    roi_head=dict(
        type="GlobalLocalRoIHead",
        attention=dict(global_sizes=[1.0], channels=_base_.parts.channels),
    ),
)
