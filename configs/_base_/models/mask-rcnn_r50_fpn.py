"""mmdet's Mask R-CNN for one class on grey slices.

Unspecified in the paper, for all models here: what is not set below is mmdet's default (anchors,
512 RoIs per image, L1 box losses, NMS at IoU 0.5, first stage and batch statistics frozen).
"""

_base_ = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"

model = dict(
    # Slices are grey, repeated (or neighbours, in 2.5D): nothing to swap.
    data_preprocessor=dict(bgr_to_rgb=False),
    # The COCO checkpoint of the config holds the backbone too: nothing to fetch before it.
    backbone=dict(init_cfg=None),
    roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)),
    # Nothing is learned from inside the regions to ignore (`iscrowd`) that a data set may hold.
    train_cfg=dict(
        rpn=dict(assigner=dict(type="LesionMaxIoUAssigner", ignore_iof_thr=0.5)),
        rcnn=dict(assigner=dict(type="LesionMaxIoUAssigner", ignore_iof_thr=0.5)),
    ),
    # mmdet's threshold of 0.05 would cut the FROC curve short.
    test_cfg=dict(rcnn=dict(score_thr=0.001)),
)
