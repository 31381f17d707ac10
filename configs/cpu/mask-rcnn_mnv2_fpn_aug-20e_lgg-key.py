"""Mask R-CNN with the training of `glan_recommended`, to tell what the modules add to it.

Affine and intensity augmentation, a rate that falls along a cosine, averaged weights.
"""

_base_ = "./mask-rcnn_mnv2_fpn_20e_lgg-key.py"

*first_steps, pack = _base_.train_dataloader.dataset.pipeline
train_pipeline = [
    *first_steps,
    # Bookmarks are set where lesions are largest, a test meets their ends too: down to half.
    dict(type="RandomLesionAffine", max_rotate=15, scale_range=(0.5, 1.3), max_shift=0.1),
    dict(type="RandomIntensity"),
    pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = [
    *_base_.param_scheduler,
    dict(type="CosineAnnealingLR", T_max=_base_.max_epochs, convert_to_iter_based=True),
]
custom_hooks = [
    *_base_.custom_hooks,
    # Of the last 50 steps or so.
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.02, gamma=100),
]
