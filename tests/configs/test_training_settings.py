"""Every config trains as the paper does, on the data that the environment names."""

from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STEMS = {
    path.stem for path in CONFIGS.glob("[!_]*/*.py") if path.parent.name not in ("demo", "cpu")
}
OURS = "glan_r50_fpn_160e_lesions"


@pytest.mark.parametrize("stem", sorted(STEMS))
def test_trains_as_the_paper_does(stem, load_config):
    cfg = load_config(stem)
    assert cfg.train_cfg.max_epochs == 160
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=4)
    if "swin" not in stem:
        assert cfg.optim_wrapper.optimizer == dict(
            type="SGD", lr=1e-3, momentum=0.9, weight_decay=1e-4
        )
    own = cfg.optim_wrapper.paramwise_cfg.custom_keys.uncertainty
    assert own == dict(lr_mult=10.0, decay_mult=0.0)
    assert any(backend.type == "TensorboardVisBackend" for backend in cfg.vis_backends)
    warm_up = dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500)
    assert cfg.param_scheduler == [warm_up]
    assert cfg.train_cfg.val_interval == 5
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=35 if "yolo" in stem else 5, norm_type=2)


def test_custom_hooks_of_a_config_keep_ours(tmp_path):
    """As MMDetection documents EMAHook."""
    path = tmp_path / "mine.py"
    base = CONFIGS / "glan" / f"{OURS}.py"
    path.write_text(f"_base_ = {str(base)!r}\ncustom_hooks = [dict(type='EMAHook')]\n")
    cfg = Config.fromfile(path, import_custom_modules=False)
    ours = {"EpochSeedHook", "RunInfoHook", "ResumedRunHook", "AdaptStemHook"}
    ours |= {"FiniteLossHook", "SettingsCheckHook"}
    assert ours <= {hook.type for hook in cfg.default_hooks.values()}
    assert cfg.custom_hooks == [dict(type="EMAHook")]


@pytest.mark.parametrize("stem", sorted(STEMS))
def test_slices_are_resized_and_flipped_alike(stem, load_config):
    cfg = load_config(stem)
    resize = dict(type="Resize", scale=(512, 512), keep_ratio=True)
    train, val, test = (cfg[f"{s}_dataloader"].dataset.pipeline for s in ("train", "val", "test"))
    assert train[2:4] == [resize, dict(type="RandomFlip", prob=0.5)]
    assert val == test
    assert [step.type for step in test] == [
        "LoadImageFromFile",
        "LoadSlice",
        "Resize",
        "PackDetInputs",
    ]
    assert test[2] == resize


@pytest.mark.parametrize("stem", sorted(path.stem for path in CONFIGS.glob("[!_]*/*.py")))
def test_best_checkpoint_and_score_threshold(stem, load_config):
    """AP25 of boxes chooses the checkpoint, and nothing cuts the FROC curve short."""
    cfg = load_config(stem)
    checkpoint = cfg.default_hooks.checkpoint
    assert (checkpoint.save_best, checkpoint.rule) == ("lesion/bbox_AP25", "greater")
    of_model = cfg.model.test_cfg
    assert of_model.get("rcnn", of_model).score_thr == 0.001
    assert of_model.get("conf_thr", 0.001) == 0.001


@pytest.mark.parametrize("folder", ["elsewhere", "elsewhere/"])
@pytest.mark.parametrize(
    "stem",
    [
        OURS,
        "glan_r50_fpn_160e_deeplesion",
        "glan_r50_fpn_160e_tcia-abdomen",
        "glan_r50_fpn_160e_tcia-mediastinum",
        "glan_r50_fpn_wo-pseudo-mask_160e_lesions",
    ],
)
def test_one_variable_moves_all_data(monkeypatch, stem, folder):
    monkeypatch.setenv("MMGLAN_DATA", folder)
    cfg = Config.fromfile(next(CONFIGS.glob(f"*/{stem}.py")))
    roots = {cfg[f"{split}_dataloader"].dataset.data_root for split in ("train", "val", "test")}
    assert roots == {"elsewhere/"}
    for split in ("val", "test"):
        annotations = cfg[f"{split}_dataloader"].dataset.ann_file
        assert cfg[f"{split}_evaluator"].ann_file == f"elsewhere/{annotations}"


@pytest.mark.parametrize("folder", ["elsewhere", "elsewhere/"])
def test_another_variable_moves_the_volumes(monkeypatch, folder):
    monkeypatch.setenv("MMGLAN_VOLUMES", folder)
    cfg = Config.fromfile(CONFIGS / "glan/glan_r50_fpn_160e_volumes.py")
    assert cfg.train_dataloader.dataset.data_root == "data/lesions/"
    assert cfg.test_dataloader.dataset.data_root == "elsewhere/"
    assert cfg.test_evaluator.ann_file == "elsewhere/annotations/test_truth.json"


def test_fold_and_seed_come_from_the_environment(monkeypatch):
    for name, value in {"DATA": "elsewhere", "FOLD": "fold3", "SEED": "7"}.items():
        monkeypatch.setenv(f"MMGLAN_{name}", value)
    cfg = Config.fromfile(CONFIGS / "cpu/glan_mnv2_fpn_wo-pseudo-mask_20e_lgg-key.py")
    folder = "annotations/fold3/"
    assert cfg.randomness.seed == 7
    assert cfg.train_dataloader.dataset.ann_file == f"{folder}train_recist.json"
    assert cfg.test_dataloader.dataset.ann_file == f"{folder}test_whole.json"
    assert cfg.test_evaluator.volumes_file == f"elsewhere/{folder}volumes_test.json"
    assert cfg.val_evaluator.ann_file == f"elsewhere/{folder}val_recist.json"
