"""Ours w/o uncertainty loss: all five losses have weight 1."""

_base_ = "../glan/glan_r50_fpn_160e_lesions.py"

model = dict(_delete_=True, **_base_.model.detector)
