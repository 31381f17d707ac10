"""Ours w/o pseudo mask: RECIST boxes, no mask branch."""

_base_ = "../baselines/mask-rcnn_r50_fpn_wo-pseudo-mask_160e_lesions.py"

_base_.model.roi_head.update(type="GlobalLocalRoIHead", attention=dict(global_sizes=[1.0]))
model = dict(
    _delete_=True, type="UncertaintyLossWrapper", detector=_base_.model, tasks="faster_rcnn"
)
