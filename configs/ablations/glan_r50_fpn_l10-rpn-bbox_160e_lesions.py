"""Ours with fixed loss weights: RPN box 10, the others 1."""

_base_ = "./glan_r50_fpn_wo-uncertainty_160e_lesions.py"

model = dict(rpn_head=dict(loss_bbox=dict(loss_weight=10.0)))
