"""Ours on a Swin-T backbone (beyond the paper), with the optimiser that Swin is trained with."""

_base_ = "./glan_r50_fpn_160e_lesions.py"  # before the import, see _base_/models/vfnet_r50_fpn.py
from importlib import import_module

swin = import_module("mmengine.hub").get_config("mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py")
swin.model.backbone.update(_delete_=True, init_cfg=None)
model = dict(backbone=swin.model.backbone, neck=swin.model.neck)
learning_rate = swin.optim_wrapper.optimizer.lr
optim_wrapper = dict(
    optimizer=dict(_delete_=True, **swin.optim_wrapper.optimizer),
    paramwise_cfg=swin.optim_wrapper.paramwise_cfg,
)
load_from = "https://download.openmmlab.com/mmdetection/v2.0/swin/mask_rcnn_swin-t-p4-w7_fpn_1x_coco/mask_rcnn_swin-t-p4-w7_fpn_1x_coco_20210902_120937-9d6b7cfa.pth"
del swin
