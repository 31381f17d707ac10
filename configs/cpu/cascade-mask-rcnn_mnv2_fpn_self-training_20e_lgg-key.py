"""Cascade Mask R-CNN on lgg-key, trained and tested in all else as recommended for ours."""

_base_ = "./cascade-mask-rcnn_mnv2_fpn_20e_lgg-key.py"

# ---- what users change ----
max_epochs = _base_.max_epochs + 1

# ---- what is best left alone ----
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
custom_hooks = [dict(type="SelfTrainingHook", begin=_base_.max_epochs)]
test_evaluator = dict(neighbour_reach=2, stacking=dict(iou=0.5, score="noisy-or"))
