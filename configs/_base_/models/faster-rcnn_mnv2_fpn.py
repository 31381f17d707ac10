"""Faster R-CNN with MobileNetV2, for CPUs."""

_base_ = ["./faster-rcnn_r50_fpn.py", "./mobilenetv2_parts.py"]

model = dict(
    backbone=_base_.parts.backbone,
    neck=_base_.parts.neck,
    rpn_head=_base_.parts.rpn_head,
    roi_head=dict(bbox_roi_extractor=_base_.parts.roi_extractor, bbox_head=_base_.parts.bbox_head),
    train_cfg=dict(
        rpn=_base_.parts.rpn_train,
        rpn_proposal=_base_.parts.rpn_proposal,
        rcnn=_base_.parts.rcnn_train,
    ),
    test_cfg=_base_.parts.test_cfg,
)
