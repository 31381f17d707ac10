"""Ours w/o global-local attention."""

_base_ = "../glan/glan_r50_fpn_160e_lesions.py"

_base_.model.detector.roi_head.pop("attention")
model = dict(detector=dict(roi_head=dict(type="StandardRoIHead")))
