"""Twenty passes over the key slices with AdamW at a constant rate of 3e-4; minutes on one core.

MMGLAN_EPOCHS sets another number of passes, for as many steps on fewer or more slices.
"""

# ---- what users change ----
max_epochs = int("{{$MMGLAN_EPOCHS:20}}")
learning_rate = 3e-4

# ---- what is best left alone ----
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=learning_rate, weight_decay=1e-4),
    clip_grad=dict(max_norm=5, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={"uncertainty": dict(lr_mult=10.0, decay_mult=0.0)},
        bypass_duplicate=True,  # heads that share layers (RTMDet)
    ),
)
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20)]
auto_scale_lr = dict(enable=False, base_batch_size=4)
