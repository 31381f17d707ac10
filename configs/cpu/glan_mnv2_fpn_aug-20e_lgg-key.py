"""Ours with augmentation on lgg-key: local start of the attention, loss weights of mean 1."""

_base_ = "./mask-rcnn_mnv2_fpn_aug-20e_lgg-key.py"

model = dict(
    type="UncertaintyLossWrapper",
    detector="MaskRCNN",
    tasks="mask_rcnn",
    mean_one=True,
    roi_head=dict(
        type="GlobalLocalRoIHead",
        attention=dict(
            global_sizes=[1.0], channels=_base_.parts.channels, initial_local_weight=0.9
        ),
    ),
)
