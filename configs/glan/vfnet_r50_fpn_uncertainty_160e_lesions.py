"""VFNet with the uncertainty loss (beyond the paper); a detector without RoIs has no attention."""

_base_ = "../baselines/vfnet_r50_fpn_160e_lesions.py"

model = dict(
    _delete_=True,
    type="UncertaintyLossWrapper",
    detector=_base_.model,
    backbone=dict(init_cfg=None),  # where init_detector looks
    tasks="vfnet",
)
