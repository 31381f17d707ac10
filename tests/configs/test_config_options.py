"""Every variable that users change acts in every config, and misspelt names are refused."""

import copy
import inspect
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import mmglan.engine  # noqa: F401  (registers the runner)
from mmglan.config_options import (
    KNOBS,
    READ,
    ConfigOptionError,
    put_in_effect,
    settings,
    with_options_in_effect,
)
from mmglan.experiments.config_diff import differences
from mmglan.experiments.shrink import shrink

ROOT = Path(__file__).resolve().parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "configs").glob("[!_]*/*.py"))}
OURS, DEMO, NORMS = "glan_r50_fpn_160e_lesions", "glan_r18_demo", "glan_r18_gn_24e_demo"
SPLITS = ("train", "val", "test")
FROM_USERS = {
    "image_scale": (192, 192),
    "batch_size": 3,
    "num_workers": 1,
    "max_epochs": 2,
    "learning_rate": 0.5,
    "seed": 7,
    "vis_backends": [dict(type="NewBackend")],
}


@pytest.fixture(scope="session")
def with_options(load_config):
    """Merge options into a config that was read, as MMDetection's train.py does, and apply them."""

    def merge(stem: str, **options) -> Config:
        cfg = Config(copy.deepcopy(load_config(stem)._cfg_dict))
        cfg.merge_from_dict(options)
        put_in_effect(cfg, load_config(stem))
        return cfg

    return merge


@pytest.fixture(scope="session")
def changes(load_config, with_options):
    """Paths and new values of what options change."""

    def compare(stem: str, **options) -> dict:
        found = differences(load_config(stem), with_options(stem, **options))
        return {path: new for path, (_, new) in found.items()}

    return compare


def of_splits(path: str, value) -> dict:
    return {f"{split}_dataloader.{path}": value for split in SPLITS}


@pytest.mark.parametrize("stem", FILES)
def test_every_variable_acts(stem, load_config, changes):
    epochs = {"train_cfg.max_epochs": 2}
    if any(part in stem for part in ("demo", "lgg-key", "context")):
        epochs["train_cfg.val_interval"] = 2
    if "aug-20e" in stem:
        epochs["param_scheduler.1.T_max"] = 2
    expected = {
        "image_scale": of_splits("dataset.pipeline.2.scale", [192, 192]),
        "batch_size": {"train_dataloader.batch_size": 3},
        "num_workers": of_splits("num_workers", 1),
        "max_epochs": epochs,
        "learning_rate": {"optim_wrapper.optimizer.lr": 0.5},
        "seed": {"randomness.seed": 7},
    }
    for name, wanted in expected.items():
        assert changes(stem, **{name: FROM_USERS[name]}) == wanted, name
    found = changes(stem, vis_backends=FROM_USERS["vis_backends"])
    assert found["visualizer.vis_backends.0.type"] == "NewBackend"


@pytest.mark.parametrize("stem", FILES)
@pytest.mark.parametrize("folder", ["elsewhere", "elsewhere/"])
def test_data_root_moves_the_data_and_their_annotations(stem, folder, load_config, with_options):
    cfg = with_options(stem, data_root=folder)
    old = load_config(stem)
    for split in SPLITS:
        loader, before = cfg[f"{split}_dataloader"].dataset, old[f"{split}_dataloader"].dataset
        moved = "_volumes" not in FILES[stem].stem or split != "test"
        assert loader.data_root == ("elsewhere/" if moved else "data/volumes/")
        assert loader.ann_file == before.ann_file
        if split != "train":
            evaluator = cfg[f"{split}_evaluator"]
            assert evaluator.ann_file == loader.data_root + before.ann_file
    if "deeplesion" in stem:
        assert cfg.test_evaluator.volumes_file == "elsewhere/annotations/volumes_test.json"


def test_volumes_root_moves_the_test_set(changes):
    assert changes("glan_r50_fpn_160e_volumes", volumes_root="v") == {
        "test_dataloader.dataset.data_root": "v/",
        "test_evaluator.ann_file": "v/annotations/test_truth.json",
    }


def test_variables_of_the_test_are_all_there_are():
    assert KNOBS.keys() == {*FROM_USERS, "data_root", "volumes_root"}


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda p: p.stem)
def test_what_stands_under_what_users_change_is_a_knob(path):
    _, _, rest = path.read_text().partition("# ---- what users change ----")
    block, _, _ = rest.partition("# ---- what is best left alone ----")
    names = {
        line.split(" = ")[0] for line in block.splitlines() if " = " in line and line[0] != " "
    }
    assert {name for name in names if not name.startswith("#")} <= KNOBS.keys()


def test_own_path_of_a_setting_stands_against_the_variable(with_options, changes):
    scale = {"test_dataloader.dataset.pipeline.2.scale": (300, 300)}
    found = changes(OURS, image_scale=[256, 256], **scale)
    assert found["test_dataloader.dataset.pipeline.2.scale"] == [300, 300]
    assert found["val_dataloader.dataset.pipeline.2.scale"] == [256, 256]
    cfg = with_options(OURS, image_scale=[256, 256])
    assert cfg.train_dataloader.dataset.pipeline[2].scale == (256, 256)  # MMCV takes no list


def test_variables_of_a_small_config_act_too(tmp_path, load_config):
    shrink(load_config(OURS), "data").dump(tmp_path / "small.py")
    cfg = Config.fromfile(tmp_path / "small.py", import_custom_modules=False)
    cfg.merge_from_dict(dict(image_scale=(48, 48), max_epochs=9, learning_rate=0.1))
    cfg = with_options_in_effect(cfg)
    assert cfg.train_dataloader.dataset.pipeline[2].scale == (48, 48)
    assert (cfg.train_cfg.max_epochs, cfg.optim_wrapper.optimizer.lr) == (9, 0.1)


@pytest.mark.parametrize(
    ("stem", "option", "advice"),
    [
        (OURS, {"train_pipeline.3.prob": 0.1}, "Set train_dataloader.dataset.pipeline."),
        (
            OURS,
            {"dataset_type": "CocoDataset"},
            "Set train_dataloader.dataset.type, val_dataloader.dataset.type, "
            "test_dataloader.dataset.type.",
        ),
        (DEMO, {"channels": 64}, "Set model.neck.out_channels, "),
        (DEMO, {"channels": 64}, "more."),
        (
            "glan_r18_gn_24e_demo",
            {"norm_cfg.num_groups": 8},
            "Set model.roi_head.attention.norm_cfg.",
        ),
        (OURS, {"custom_imports.imports": []}, "Change the config file"),
    ],
)
def test_variables_that_are_no_knobs_are_refused(stem, option, advice, with_options):
    (name,) = option
    with pytest.raises(ConfigOptionError, match="Expected a setting that a run reads") as error:
        with_options(stem, **option)
    assert str(error.value).startswith(f"--cfg-options {name.split('.')[0]}: ")
    assert advice in str(error.value)


def test_variable_whose_value_no_setting_has_is_refused(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(f"_base_ = {str(FILES[OURS])!r}\noptim_wrapper = dict(optimizer=dict(lr=0.02))")
    cfg = Config.fromfile(path, import_custom_modules=False)
    cfg.learning_rate = 0.5
    with pytest.raises(
        ConfigOptionError, match=r"learning_rate: .* Set optim_wrapper.optimizer.lr"
    ):
        with_options_in_effect(cfg)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("max_epoch", "max_epochs"),
        ("epochs", "max_epochs"),
        ("train_datloader.batch_size", "train_dataloader"),
        ("modle.backbone.depth", "model"),
        ("model.test_cfg.rcnn.score_thrr", "model.test_cfg.rcnn.score_thr"),
        ("model.roi_head.attention.global_size", "model.roi_head.attention.global_sizes"),
        ("optim_wrapper.accumulative_count", "optim_wrapper.accumulative_counts"),
        ("optim_wrapper.optimizer.weight_deca", "optim_wrapper.optimizer.weight_decay"),
        ("default_hooks.checkpoint.max_keep_ckpt", "default_hooks.checkpoint.max_keep_ckpts"),
        ("train_dataloader.dataset.pipeline.3.probs", "train_dataloader.dataset.pipeline.3.prob"),
        ("model.rpn_heads.in_channels", "model.rpn_head"),
        ("test_evaluator.bootstrp", "test_evaluator.bootstrap"),
    ],
)
def test_misspelt_names_are_refused_with_a_suggestion(wrong, right, with_options):
    with pytest.raises(ConfigOptionError, match="unknown name") as error:
        with_options(OURS, **{wrong: 2})
    assert str(error.value).endswith(f"Did you mean {right}?")


@pytest.mark.parametrize(
    "option",
    [
        {"work_dir": "w"},
        {"load_from": None},
        {"resume": True},
        {"train_dataloader.batch_size": 1, "optim_wrapper.accumulative_counts": 4},
        {"model.backbone.with_cp": True},
        {"model.roi_head.attention.norm_cfg.type": "GN"},
        {"model.roi_head.bbox_head.loss_cls.class_weight": [1.0, 2.0]},
        {"model.variant": "kendall"},
        {"optim_wrapper.optimizer.nesterov": True},
        {"train_dataloader.dataset.indices": 6},
        {"test_evaluator.outfile_prefix": "results"},
        {"randomness.deterministic": True},
        {"default_hooks.early_stopping": dict(type="EarlyStoppingHook", monitor="loss")},
        {"tta_pipeline": []},
    ],
)
def test_settings_that_a_config_does_not_have_yet_are_taken(option, load_config, with_options):
    before = dict(settings(load_config(OURS)))
    found = dict(settings(with_options(OURS, **option)))
    for path, value in option.items():
        assert found[path] == value
    assert {p for p in before if p in found and found[p] != before[p]} <= {
        part for path in option for part in prefixes(path)
    }


def prefixes(path: str) -> list[str]:
    words = path.split(".")
    return [".".join(words[: count + 1]) for count in range(len(words))]


def test_new_name_that_is_like_no_other_is_told(monkeypatch, with_options):
    told = []
    monkeypatch.setattr("mmengine.logging.print_log", lambda text, *rest: told.append(text))
    with_options(OURS, **{"model.test_cfg.rcnn.zzz": 1})
    assert told == ["--cfg-options model.test_cfg.rcnn.zzz: the config had no such setting."]


def test_config_without_a_file_is_left_alone():
    cfg = Config(dict(max_epochs=3))
    assert with_options_in_effect(cfg) is cfg


def test_everything_that_a_runner_is_built_with_counts_as_read():
    assert set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"} <= set(READ)


@pytest.mark.parametrize("stem", [OURS, DEMO, "glan_swin-t_fpn_160e_lesions"])
def test_stock_scripts_build_the_runner_with_the_options_in_effect(stem, monkeypatch, load_config):
    built = []
    monkeypatch.setattr(Runner, "__init__", lambda self, **parts: built.append(parts))
    cfg = copy.deepcopy(load_config(stem))
    cfg.merge_from_dict(dict(max_epochs=2))
    cfg.work_dir = "w"
    runner = RUNNERS.build(cfg)  # as MMDetection's train.py and test.py do
    assert type(runner).__name__ == "LesionRunner"
    assert built[0]["train_cfg"].max_epochs == built[0]["cfg"].train_cfg.max_epochs == 2
    cfg.max_epoch = 2
    with pytest.raises(ConfigOptionError, match="Did you mean max_epochs"):
        RUNNERS.build(cfg)
