import copy

import pytest
from mmengine.config import Config

from mmglan.experiments.config_diff import ABSENT, differences, flatten
from mmglan.experiments.shrink import SMALL, TINY, shrink

ZOO = "configs/glan/glan_r50_fpn_160e_lesions.py"


@pytest.fixture(scope="module")
def ours(repository):
    return Config.fromfile(repository / ZOO)


def test_shrinking_keeps_the_parts_and_loses_size(ours):
    before = ours.to_dict()
    small = shrink(ours, "some/data", SMALL)
    assert ours.to_dict() == before
    assert small.model.roi_head.type == "GlobalLocalRoIHead"
    assert small.model.roi_head.attention.global_sizes == [1.0]
    assert (small.model.type, small.model.tasks) == ("UncertaintyLossWrapper", "mask_rcnn")
    assert small.model.backbone.depth == 18
    assert small.model.neck.in_channels == [32, 64, 128, 256]
    assert small.model.neck.out_channels == small.model.rpn_head.in_channels == SMALL.channels
    assert small.model.train_cfg.rcnn.sampler.num == SMALL.rois
    assert small.load_from is None
    assert small.test_evaluator.ann_file == "some/data/annotations/test.json"
    assert small.train_dataloader.dataset.pipeline[2].scale == (128, 128)
    assert small.train_cfg.max_epochs == SMALL.epochs


def test_shrinking_refuses_an_unknown_backbone(ours):
    cfg = copy.deepcopy(ours)
    cfg.model.backbone.type = "HRNet"
    with pytest.raises(ValueError, match="Expected a backbone of the zoo but got HRNet"):
        shrink(cfg, "data", TINY)


def test_shrinking_keeps_the_kind_of_annotations(repository):
    name = "configs/ablations/glan_r50_fpn_wo-pseudo-mask_160e_lesions.py"
    cfg = shrink(Config.fromfile(repository / name), "x")
    assert cfg.val_evaluator.ann_file == "x/annotations/val_recist.json"
    assert cfg.train_dataloader.dataset.data_root == "x/"
    assert cfg.train_dataloader.dataset.ann_file == "annotations/train_recist.json"


def test_flat_paths_leave_out_helpers():
    cfg = Config(dict(model=dict(a=[dict(b=1)], c=(1, 2), d={}), seed=3))
    assert flatten(cfg) == {"model.a.0.b": 1, "model.c": [1, 2], "model.d": {}}


def test_differences_are_paths_and_both_values():
    first = Config(dict(model=dict(x=1, y=2), train_cfg=dict(max_epochs=160), seed=0))
    second = Config(dict(model=dict(x=3, z=4), train_cfg=dict(max_epochs=160), seed=1))
    assert differences(first, second) == {
        "model.x": (1, 3),
        "model.y": (2, ABSENT),
        "model.z": (ABSENT, 4),
    }
    assert differences(first, first) == {}
