"""mmdet's Faster R-CNN for one class on grey slices."""

_base_ = "mmdet::_base_/models/faster-rcnn_r50_fpn.py"

model = dict(
    data_preprocessor=dict(bgr_to_rgb=False),
    backbone=dict(init_cfg=None),
    roi_head=dict(bbox_head=dict(num_classes=1)),
    train_cfg=dict(
        rpn=dict(assigner=dict(type="LesionMaxIoUAssigner", ignore_iof_thr=0.5)),
        rcnn=dict(assigner=dict(type="LesionMaxIoUAssigner", ignore_iof_thr=0.5)),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.001)),
)
