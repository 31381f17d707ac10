"""Ours on lgg-key, as recommended for whole volumes: docs/evidence.md says what each part gave, and
how Mask R-CNN trained alike compares.

Loss weights of mean 1; after 20 epochs one more on the lesions that the model follows from their
bookmarks to other slices, and on slices without lesions; scores averaged over two slices on either
side; in 3D a lesion's score rises with the slices that show it. Needs `prepare --whole-volumes` and
volumes whose lesions are all bookmarked, else `empty=0`.
"""

_base_ = "./glan_mnv2_fpn_20e_lgg-key.py"

# ---- what users change ----
max_epochs = _base_.max_epochs + 1

# ---- what is best left alone ----
model = dict(mean_one=True)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
custom_hooks = [dict(type="SelfTrainingHook", begin=_base_.max_epochs)]
test_evaluator = dict(neighbour_reach=2, stacking=dict(iou=0.5, score="noisy-or"))
