"""Ours for several GPUs: the attention's batch statistics are shared between processes."""

_base_ = "./glan_r50_fpn_160e_lesions.py"

model = dict(roi_head=dict(attention=dict(norm_cfg=dict(type="SyncBN"))))
