"""Ours trained with slices that hold no lesion: one in four of each epoch."""

_base_ = "./glan_r50_fpn_160e_lesions.py"

train_dataloader = dict(
    sampler=dict(_delete_=True, type="LesionBalancedSampler", lesion_free_fraction=0.25),
    dataset=dict(filter_cfg=dict(filter_empty_gt=False)),
)
