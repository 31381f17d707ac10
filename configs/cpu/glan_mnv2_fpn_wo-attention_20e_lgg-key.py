"""Ours w/o global-local attention on lgg-key."""

_base_ = "./mask-rcnn_mnv2_fpn_20e_lgg-key.py"

model = dict(type="UncertaintyLossWrapper", detector="MaskRCNN", tasks="mask_rcnn")
