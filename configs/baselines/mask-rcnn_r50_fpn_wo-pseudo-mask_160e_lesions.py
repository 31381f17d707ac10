"""Mask R-CNN w/o pseudo mask (Table 1): RECIST boxes, no mask branch."""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/lesions_recist.py",
    "../_base_/schedules/paper_160e.py",
    "../_base_/default_runtime.py",
]

model = dict(roi_head=dict(mask_roi_extractor=None, mask_head=None))
load_from = "https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth"
