"""VFNet, later used for nodes on MR by the paper's group (beyond the paper)."""

_base_ = [
    "../_base_/models/vfnet_r50_fpn.py",
    "../_base_/datasets/lesions_detection.py",
    "../_base_/schedules/paper_160e.py",
    "../_base_/default_runtime.py",
]

load_from = "https://download.openmmlab.com/mmdetection/v2.0/vfnet/vfnet_r50_fpn_1x_coco/vfnet_r50_fpn_1x_coco_20201027-38db6f58.pth"
