"""Ours w/o uncertainty loss on the benchmark phantom; global box half the image, at each RoI."""

_base_ = "./glan_mnv2-s8_fpn_wo-uncertainty_20e_context.py"

model = dict(roi_head=dict(attention=dict(global_sizes=[0.5])))
