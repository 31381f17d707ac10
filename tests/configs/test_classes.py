"""One line of a config names the classes of data, heads and metrics."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmglan.config_options import ConfigOptionError, settings
from mmglan.datasets import LesionDataset
from mmglan.engine.config_classes import with_classes
from mmglan.engine.hooks.class_count_hook import ClassCountHook
from mmglan.engine.lesion_runner import LesionRunner

STEMS = sorted(p.stem for p in (Path(__file__).parents[2] / "configs").glob("[!_]*/*.py"))
CLASSES = ("node", "cyst", "vessel cross-section")


def named(cfg, key):
    return [value for path, value in settings(cfg) if path.rsplit(".", 1)[-1] == key]


@pytest.mark.parametrize("stem", STEMS)
def test_one_line_acts_in_every_config(stem, load_config):
    cfg = Config(copy.deepcopy(load_config(stem)._cfg_dict))
    assert with_classes(cfg) is cfg
    before = named(cfg, "num_classes")
    assert before and set(before) == {1}
    cfg.merge_from_dict({"classes": list(CLASSES)})
    changed = with_classes(cfg)
    assert named(changed, "num_classes") == [3] * len(before)
    for split in ("train", "val", "test"):
        dataset = changed[f"{split}_dataloader"].dataset
        while "dataset" in dataset:
            dataset = dataset.dataset
        assert dataset.metainfo["classes"] == CLASSES
    assert named(cfg, "num_classes") == before  # the config given is not changed


@pytest.mark.parametrize("classes", ["node", (), ("node", "node"), ("node", 3)])
def test_classes_that_are_none(classes):
    with pytest.raises(ConfigOptionError, match="classes: Expected distinct names"):
        with_classes(Config(dict(classes=classes)))


def test_a_data_set_with_classes_of_its_own():
    dataset = dict(ann_file="a.json", metainfo=dict(classes=("cyst",)))
    cfg = Config(dict(classes=CLASSES, train_dataloader=dict(dataset=dataset)))
    with pytest.raises(ConfigOptionError, match=r"train_dataloader.dataset.metainfo.classes"):
        with_classes(cfg)


def test_every_class_has_a_colour(tmp_path):
    register_all_modules(init_default_scope=True)
    for classes in (None, CLASSES, tuple(map(str, range(41)))):
        metainfo = {} if classes is None else dict(classes=classes)
        data = DATASETS.build(dict(type="LesionDataset", metainfo=metainfo, lazy_init=True))
        palette = list(map(tuple, data.metainfo["palette"]))
        assert len(palette) == len(classes or ("lesion",))
        assert palette[0] == LesionDataset.METAINFO["palette"][0]
        assert len(set(palette)) == len(palette)


def runner(num_classes, classes):
    model = torch.nn.Module()
    model.bbox_head = torch.nn.Module()
    model.bbox_head.num_classes = num_classes
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    return SimpleNamespace(model=model, train_dataloader=loader)


def test_other_numbers_of_classes_are_refused_before_the_first_step():
    ClassCountHook().before_train(runner(3, CLASSES))
    with pytest.raises(ValueError, match=r"num_classes=3 in every head.*Set classes = \('node'"):
        ClassCountHook().before_train(runner(1, CLASSES))


def test_the_runner_brings_the_check_whatever_the_hooks(monkeypatch):
    found = []
    monkeypatch.setattr(LesionRunner, "register_hook", lambda self, hook: found.append(hook))
    LesionRunner.register_custom_hooks(LesionRunner.__new__(LesionRunner), [])
    assert [type(hook) for hook in found] == [ClassCountHook]


def test_a_real_model_is_checked(load_config):
    cfg = Config(copy.deepcopy(load_config("glan_r18_demo")._cfg_dict))
    cfg.merge_from_dict({"classes": CLASSES[:2]})
    register_all_modules(init_default_scope=True)
    model = MODELS.build(with_classes(cfg).model)
    stub = runner(1, CLASSES[:2])
    stub.model = model
    ClassCountHook().before_train(stub)
    stub.train_dataloader.dataset.metainfo = dict(classes=CLASSES)
    with pytest.raises(ValueError, match="num_classes=3"):
        ClassCountHook().before_train(stub)
