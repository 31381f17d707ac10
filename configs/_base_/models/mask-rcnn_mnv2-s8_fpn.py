"""Mask R-CNN with the stages of MobileNetV2 up to stride 8: it sees a place and what lies near it.

The backbone's receptive field is 59 pixels. The last stages, whose field is as wide as the image,
are left out, so that what a detector gains by global context can be measured. For slices of 256
pixels.
"""

_base_ = "./mask-rcnn_mnv2_fpn.py"

strides = [8, 16]
model = dict(
    backbone=dict(out_indices=(2,)),
    neck=dict(in_channels=[32], num_outs=2),
    rpn_head=dict(anchor_generator=dict(scales=[1, 2, 4], strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides),
        mask_roi_extractor=dict(featmap_strides=strides),
    ),
)
