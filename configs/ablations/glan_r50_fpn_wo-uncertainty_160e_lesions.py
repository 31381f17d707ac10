"""Ours w/o uncertainty loss: all five losses have weight 1."""

_base_ = "../baselines/mask-rcnn_r50_fpn_160e_lesions.py"

model = dict(roi_head=dict(type="GlobalLocalRoIHead", attention=dict(global_sizes=[1.0])))
