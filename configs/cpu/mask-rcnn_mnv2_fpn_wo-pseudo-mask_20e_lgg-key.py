"""Mask R-CNN w/o pseudo mask on lgg-key: RECIST boxes, no mask branch."""

_base_ = [
    "../_base_/models/mask-rcnn_mnv2_fpn.py",
    "../_base_/datasets/lgg_key_recist.py",
    "../_base_/schedules/cpu_20e.py",
    "../_base_/default_runtime.py",
]

model = dict(roi_head=dict(mask_roi_extractor=None, mask_head=None))
