"""Ours with fixed loss weights: classification 10, the others 1."""

_base_ = "./glan_r50_fpn_wo-uncertainty_160e_lesions.py"

model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(loss_weight=10.0))))
