"""Ours w/o uncertainty loss on the benchmark phantom: global-local attention alone."""

_base_ = "./mask-rcnn_mnv2-s8_fpn_20e_context.py"

model = dict(
    roi_head=dict(
        type="GlobalLocalRoIHead",
        attention=dict(global_sizes=[1.0], channels=_base_.parts.channels),
    ),
)
