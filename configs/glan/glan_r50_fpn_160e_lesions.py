"""Ours (Table 1): Mask R-CNN with global-local attention and the multi-task uncertainty loss."""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/lesions_instance.py",
    "../_base_/schedules/paper_160e.py",
    "../_base_/default_runtime.py",
]

model = dict(
    type="UncertaintyLossWrapper",
    detector="MaskRCNN",
    tasks="mask_rcnn",
    roi_head=dict(type="GlobalLocalRoIHead", attention=dict(global_sizes=[1.0])),
)
load_from = "https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth"
