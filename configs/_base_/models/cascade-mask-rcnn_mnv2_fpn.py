"""Cascade Mask R-CNN with MobileNetV2, for CPUs."""

_base_ = ["./cascade-mask-rcnn_r50_fpn.py", "./mobilenetv2_parts.py"]

model = dict(
    backbone=_base_.parts.backbone,
    neck=_base_.parts.neck,
    rpn_head=_base_.parts.rpn_head,
    roi_head=dict(
        bbox_roi_extractor=_base_.parts.roi_extractor,
        bbox_head=[
            dict(head, **_base_.parts.bbox_head) for head in _base_.model.roi_head.bbox_head
        ],
        mask_roi_extractor=_base_.parts.roi_extractor,
        mask_head=_base_.parts.mask_head,
    ),
    train_cfg=dict(
        rpn=_base_.parts.rpn_train,
        rpn_proposal=_base_.parts.rpn_proposal,
        rcnn=[
            dict(stage, sampler=dict(stage.sampler, **_base_.parts.rcnn_train.sampler))
            for stage in _base_.model.train_cfg.rcnn
        ],
    ),
    test_cfg=_base_.parts.test_cfg,
)
