"""Ours on DeepLesion with three windows of CT as channels (beyond the paper).

Soft tissue, lung, and the whole range, cut out of the wide window that the data are prepared with.
"""

_base_ = "./glan_r50_fpn_160e_deeplesion.py"

windows = [(-175, 275), (-1024, 200), (-1024, 3071)]
_base_.train_dataloader.dataset.pipeline[0].windows = windows
_base_.val_dataloader.dataset.pipeline[1].windows = windows
_base_.test_dataloader.dataset.pipeline[1].windows = windows
