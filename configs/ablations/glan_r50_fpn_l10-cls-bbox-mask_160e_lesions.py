"""Ours with fixed loss weights: classification, box and mask 10, the others 1."""

_base_ = "./glan_r50_fpn_wo-uncertainty_160e_lesions.py"

model = dict(
    roi_head=dict(
        bbox_head=dict(loss_cls=dict(loss_weight=10.0), loss_bbox=dict(loss_weight=10.0)),
        mask_head=dict(loss_mask=dict(loss_weight=10.0)),
    )
)
