"""Slices with boxes and masks, as `mmglan prepare` writes them.

The environment variable MMGLAN_DATA names another folder for all splits at once.
"""

_base_ = []

import os

# ---- what users change ----
data_root = os.environ.get("MMGLAN_DATA", "data/lesions/").rstrip("/") + "/"
# Unspecified in the paper. Its slices are 256-640 pixels long; 512 enlarges the small ones,
# so that a 5 mm node covers more than one cell of the finest map.
image_scale = (512, 512)
batch_size = 4  # the paper's
num_workers = 2

# ---- what is best left alone ----
dataset_type = "LesionDataset"
train_pipeline = [
    dict(type="LoadSlice"),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    # Unspecified in the paper: flips only, as COCO training does.
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
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=False,
    worker_init_fn=dict(type="seed_worker_from_torch"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/train.json",
        data_prefix=dict(img="images/"),
        # The paper trains on slices with a bookmark only.
        filter_cfg=dict(filter_empty_gt=True, min_size=1),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/val.json",
        data_prefix=dict(img="images/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/test.json",
        data_prefix=dict(img="images/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
val_evaluator = dict(
    type="LesionMetric",
    ann_file=data_root + "annotations/val.json",
    iou_types=("bbox", "segm"),
    bootstrap=0,
)
test_evaluator = dict(
    type="LesionMetric",
    ann_file=data_root + "annotations/test.json",
    iou_types=("bbox", "segm"),
    bootstrap=1000,
)
