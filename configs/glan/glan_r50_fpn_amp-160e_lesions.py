"""Ours in mixed precision (beyond the paper)."""

_base_ = "./glan_r50_fpn_160e_lesions.py"

optim_wrapper = dict(type="AmpOptimWrapper", loss_scale="dynamic")
