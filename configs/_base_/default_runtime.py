"""Run-time settings of every config: imports, hooks, trackers, distributed start-up."""

_base_ = "mmdet::_base_/default_runtime.py"

# ---- what users change ----
seed = int("{{$MMGLAN_SEED:0}}")
vis_backends = [
    dict(type="LocalVisBackend"),
    dict(type="TensorboardVisBackend"),
    # dict(type='MLflowVisBackend', exp_name='mmglan'),
    # dict(type='WandbVisBackend', init_kwargs=dict(project='mmglan')),
]

# ---- what is best left alone ----
runner_type = "LesionRunner"  # lets --cfg-options change the variables above the line
custom_imports = dict(
    imports=[
        "mmglan.models",
        "mmglan.datasets",
        "mmglan.evaluation.lesion_metric",
        "mmglan.engine",
        "mmglan.engine.cpu_processes",
        "mmglan.inference.fused_views",
    ],
    allow_failed_imports=False,
)
visualizer = dict(vis_backends=vis_backends)
randomness = dict(seed=seed)
tta_model = dict(type="FusedViewsTTA")  # of `test.py --tta`: mirrored slices, masks too
# Ours stand here and not in `custom_hooks`, so that a config that sets those keeps them.
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=1, max_keep_ckpts=2, save_best="lesion/bbox_AP25", rule="greater"),
    epoch_seed=dict(type="EpochSeedHook"),
    run_info=dict(type="RunInfoHook"),
    resumed_run=dict(type="ResumedRunHook"),
    adapt_stem=dict(type="AdaptStemHook"),
    finite_loss=dict(type="FiniteLossHook"),
    settings_check=dict(type="SettingsCheckHook"),
)
# `device_ids=None` is right for one device per process, GPU or CPU: the data preprocessor moves
# the inputs. Together with `mmglan.engine.cpu_processes` it lets several CPU processes train.
model_wrapper_cfg = dict(
    type="MMDistributedDataParallel",
    device_ids=None,
    broadcast_buffers=False,
    find_unused_parameters=False,
)
