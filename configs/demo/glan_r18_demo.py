"""A small form of ours that trains from scratch on two CPU cores in minutes (`make demo`)."""

_base_ = "../glan/glan_r50_fpn_160e_lesions.py"

import os

# ---- what users change ----
data_root = os.environ.get("MMGLAN_DATA", "work_dirs/demo/data/").rstrip("/") + "/"
image_scale = (128, 128)
max_epochs = 12
learning_rate = 3e-4
num_workers = 0

# ---- what is best left alone ----
load_from = None
channels = 128  # of the pyramid and of every head; the full model has 256
model = dict(
    # From scratch: every layer learns, batch statistics included.
    backbone=dict(depth=18, frozen_stages=-1, norm_eval=False),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=channels),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        # Anchors of 8 pixels and more: the nodes are 4-12 pixels long here.
        anchor_generator=dict(scales=[2]),
    ),
    roi_head=dict(
        attention=dict(channels=channels),
        bbox_roi_extractor=dict(out_channels=channels),
        bbox_head=dict(in_channels=channels, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200), rcnn=dict(nms=dict(iou_threshold=0.3))),
)
train_pipeline = [
    dict(type="LoadSlice"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    # Its place is where mmdet's inference API puts its own loader.
    dict(type="LoadImageFromFile", color_type="unchanged"),
    dict(type="LoadSlice"),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_evaluator = dict(ann_file=data_root + "annotations/test.json")
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=learning_rate, weight_decay=1e-4),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
]
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(vis_backends=vis_backends)
