"""Mask R-CNN on the benchmark phantom, with a backbone that sees the surroundings of a place."""

_base_ = [
    "../_base_/models/mask-rcnn_mnv2-s8_fpn.py",
    "../_base_/datasets/context.py",
    "../_base_/schedules/cpu_20e.py",
    "../_base_/default_runtime.py",
]
