"""Mask R-CNN on lgg-key."""

_base_ = [
    "../_base_/models/mask-rcnn_mnv2_fpn.py",
    "../_base_/datasets/lgg_key.py",
    "../_base_/schedules/cpu_20e.py",
    "../_base_/default_runtime.py",
]
