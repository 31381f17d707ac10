"""Ours with a global box of 0.10 of the image around each RoI, not the whole image."""

_base_ = "../glan/glan_r50_fpn_160e_lesions.py"

model = dict(roi_head=dict(attention=dict(global_sizes=[0.10])))
