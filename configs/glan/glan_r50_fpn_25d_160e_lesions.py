"""Ours on three neighbouring slices as channels (2.5D, beyond the paper).

Prepare the data with --context 1. The middle slice carries the boxes.
"""

_base_ = "./glan_r50_fpn_160e_lesions.py"

_base_.train_dataloader.dataset.pipeline[0].context = 1
_base_.val_dataloader.dataset.pipeline[1].context = 1
_base_.test_dataloader.dataset.pipeline[1].context = 1
