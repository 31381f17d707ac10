"""Ours with the sampling of the implementation that the paper builds on.

200 RoIs per image, a third of them positive; 2000 proposals in training, NMS at IoU 0.7;
NMS of the results at 0.3; smooth L1 box losses with beta 1.
"""

_base_ = "./glan_r50_fpn_160e_lesions.py"

smooth_l1 = dict(type="SmoothL1Loss", beta=1.0, loss_weight=1.0)
model = dict(
    rpn_head=dict(loss_bbox=smooth_l1),
    roi_head=dict(bbox_head=dict(loss_bbox=smooth_l1)),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=2000, nms=dict(iou_threshold=0.7)),
        rcnn=dict(sampler=dict(num=200, pos_fraction=0.33)),
    ),
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3))),
)
