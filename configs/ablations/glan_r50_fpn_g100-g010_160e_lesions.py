"""Ours with the whole image and 0.10 of it as global scales."""

_base_ = "../glan/glan_r50_fpn_160e_lesions.py"

model = dict(roi_head=dict(attention=dict(global_sizes=[1.0, 0.10])))
