"""Parts of detectors for CPUs: MobileNetV2, a pyramid of 128 channels, heads of half the width.

For slices of 128 pixels: maps of strides 8 to 32 and anchors of 8 to 64 pixels. A training step of
four slices takes about half a second on one core. The backbone starts from ImageNet weights, which
`mmglan evidence` fetches; MMGLAN_MOBILENET names another file. Not a model of its own.
"""

_base_ = []

import os

channels = 128
strides = [8, 16, 32]
parts = dict(
    channels=channels,
    backbone=dict(
        _delete_=True,
        type="TrimmedMobileNetV2",
        out_indices=(2, 4, 6),
        frozen_stages=2,
        norm_eval=True,
        init_cfg=dict(
            type="Pretrained",
            checkpoint=os.environ.get("MMGLAN_MOBILENET", "data/mobilenetv2_imagenet.pth"),
        ),
    ),
    neck=dict(in_channels=[32, 96, 320], out_channels=channels, num_outs=3),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(scales=[1, 2], strides=strides),
    ),
    roi_extractor=dict(out_channels=channels, featmap_strides=strides, finest_scale=24),
    bbox_head=dict(in_channels=channels, fc_out_channels=256),
    mask_head=dict(in_channels=channels, conv_out_channels=64, num_convs=2),
    rpn_train=dict(sampler=dict(num=128)),
    rpn_proposal=dict(nms_pre=300, max_per_img=150),
    rcnn_train=dict(sampler=dict(num=32)),
    test_cfg=dict(
        rpn=dict(nms_pre=300, max_per_img=100),
        rcnn=dict(nms=dict(iou_threshold=0.3), max_per_img=20),
    ),
)
