"""A small form of ours that trains from scratch on two CPU cores in minutes (`make demo`)."""

_base_ = "../glan/glan_r50_fpn_160e_lesions.py"

# ---- what users change ----
data_root = "{{$MMGLAN_DATA:work_dirs/demo/data/}}"
image_scale = (128, 128)
max_epochs = 30

# ---- what is best left alone ----
load_from = None
model = dict(
    detector=dict(
        # From scratch: every layer learns, batch statistics included.
        backbone=dict(depth=18, frozen_stages=-1, norm_eval=False),
        neck=dict(in_channels=[64, 128, 256, 512]),
        # Nodes are 5-30 pixels long here.
        rpn_head=dict(anchor_generator=dict(scales=[4])),
        train_cfg=dict(rpn_proposal=dict(max_per_img=300), rcnn=dict(sampler=dict(num=128))),
        test_cfg=dict(rpn=dict(max_per_img=300), rcnn=dict(nms=dict(iou_threshold=0.3))),
    )
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
    num_workers=0,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_evaluator = dict(ann_file=data_root + "annotations/test.json")
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="AdamW", lr=3e-4, weight_decay=1e-4),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
]
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(vis_backends=vis_backends)
