"""Ours w/o uncertainty loss on lgg-key."""

_base_ = "./mask-rcnn_mnv2_fpn_20e_lgg-key.py"

model = dict(
    roi_head=dict(
        type="GlobalLocalRoIHead",
        attention=dict(global_sizes=[1.0], channels=_base_.parts.channels),
    ),
)
