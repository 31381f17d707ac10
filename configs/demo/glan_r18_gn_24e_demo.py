"""The demo with group norm, trained to the end, to compare one process with several.

Group norm: the features of a slice do not depend on the others of its batch, so that a batch of 4
in two processes is the batch of 4 in one (`docs/scales.md`).
"""

_base_ = "glan_r18_demo.py"

# ---- what users change ----
max_epochs = 24

# ---- what is best left alone ----
norm_cfg = dict(type="GN", num_groups=16)
model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    roi_head=dict(attention=dict(norm_cfg=norm_cfg)),
)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="MultiStepLR", milestones=[20], gamma=0.1),
]
