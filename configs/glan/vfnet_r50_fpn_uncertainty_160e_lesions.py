"""VFNet with the uncertainty loss (beyond the paper); a detector without RoIs has no attention."""

_base_ = "../baselines/vfnet_r50_fpn_160e_lesions.py"

model = dict(type="UncertaintyLossWrapper", detector="VFNet", tasks="vfnet")
