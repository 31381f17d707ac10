"""Ours (Table 1): Mask R-CNN with global-local attention and the multi-task uncertainty loss."""

_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn.py",
    "../_base_/datasets/lesions_instance.py",
    "../_base_/schedules/paper_160e.py",
    "../_base_/default_runtime.py",
]

_base_.model.roi_head.update(type="GlobalLocalRoIHead", attention=dict(global_sizes=[1.0]))
model = dict(
    _delete_=True,
    type="UncertaintyLossWrapper",
    detector=_base_.model,
    backbone=dict(init_cfg=None),  # where init_detector looks
    tasks="mask_rcnn",
)
load_from = "https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth"
