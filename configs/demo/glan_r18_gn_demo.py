"""The demo with group norm: what a slice's features are does not depend on the others of its batch.

A batch of 4 trained by two processes is then the batch of 4 of one (`docs/scales.md`).
"""

_base_ = "glan_r18_demo.py"

norm_cfg = dict(type="GN", num_groups=16)
model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    roi_head=dict(attention=dict(norm_cfg=norm_cfg)),
)
