"""Mask R-CNN with augmentation on lgg-key, to tell what our modules add to it.

Affine and intensity augmentation, a rate that falls along a cosine, a wide limit of the gradient.
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
# A limit of 5 on the norm cuts nearly every step here (docs/evidence.md); 35 cuts spikes alone.
optim_wrapper = dict(clip_grad=dict(max_norm=35))
