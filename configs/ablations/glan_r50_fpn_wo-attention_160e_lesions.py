"""Ours w/o global-local attention."""

_base_ = "../baselines/mask-rcnn_r50_fpn_160e_lesions.py"

model = dict(type="UncertaintyLossWrapper", detector="MaskRCNN", tasks="mask_rcnn")
