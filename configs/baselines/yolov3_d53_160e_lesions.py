"""YOLOv3 (Table 1)."""

_base_ = [
    "../_base_/models/yolov3_d53.py",
    "../_base_/datasets/lesions_detection.py",
    "../_base_/schedules/paper_160e.py",
    "../_base_/default_runtime.py",
]

# YOLO's losses are sums, not means: mmdet's own limit for their gradients.
optim_wrapper = dict(clip_grad=dict(max_norm=35))
load_from = "https://download.openmmlab.com/mmdetection/v2.0/yolo/yolov3_d53_mstrain-608_273e_coco/yolov3_d53_mstrain-608_273e_coco_20210518_115020-a2c3acb8.pth"
