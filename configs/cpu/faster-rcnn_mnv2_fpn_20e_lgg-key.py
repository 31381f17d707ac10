"""Faster R-CNN on lgg-key."""

_base_ = [
    "../_base_/models/faster-rcnn_mnv2_fpn.py",
    "../_base_/datasets/lgg_key_detection.py",
    "../_base_/schedules/cpu_20e.py",
    "../_base_/default_runtime.py",
]
