import copy

import pytest
from mmengine.config import Config

from mmglan.experiments.config_diff import ABSENT, differences, flatten
from mmglan.experiments.config_words import in_words
from mmglan.experiments.shrink import SMALL, TINY, set_data_root, shrink

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


def test_data_root_keeps_the_kind_of_annotations(repository):
    name = "configs/ablations/glan_r50_fpn_wo-pseudo-mask_160e_lesions.py"
    cfg = Config.fromfile(repository / name)
    set_data_root(cfg, "x")
    assert cfg.val_evaluator.ann_file == "x/annotations/val_recist.json"
    assert cfg.train_dataloader.dataset.data_root == "x/"
    assert cfg.train_dataloader.dataset.ann_file == "annotations/train_recist.json"


def test_flat_paths_leave_out_helpers():
    cfg = Config(dict(model=dict(a=[dict(b=1)], c=(1, 2), d={}), seed=3))
    assert flatten(cfg) == {"model.a.0.b": 1, "model.c": [1, 2], "model.d": {}}


def changes(first: dict, second: dict) -> list[str]:
    return in_words(differences(Config(dict(model=first)), Config(dict(model=second))))


def test_equal_configs_have_no_differences():
    assert changes(dict(type="A"), dict(type="A")) == []


def test_differences_are_said_in_words():
    assert changes(dict(type="MaskRCNN"), dict(type="UncertaintyLossWrapper", tasks="t")) == [
        "The losses are weighted by learned uncertainty (tasks of t)."
    ]
    plain = dict(roi_head=dict(type="StandardRoIHead"))
    fused = dict(roi_head=dict(type="GlobalLocalRoIHead", attention=dict(global_sizes=[1, 0.1])))
    assert changes(plain, fused) == [
        "The box branch attends to global features (boxes of 1, 0.1 of the image)."
    ]
    assert changes(fused, plain) == [
        "The box branch sees local features only: no global-local attention."
    ]
    one, ten = (dict(rpn_head=dict(loss_cls=dict(loss_weight=w))) for w in (1.0, 10.0))
    assert changes(one, ten) == ["The weight of the RPN classification loss is 10, not 1."]
    mask = dict(roi_head=dict(mask_head=dict(type="FCNMaskHead", num_convs=4)))
    assert changes(mask, dict(roi_head=dict(mask_head=None))) == ["There is no mask branch."]


def test_what_no_rule_knows_is_given_as_path_and_values():
    assert changes(dict(x=1, y=2), dict(x=3, z=4)) == [
        "model.x is 3, not 1.",
        "model.y is gone; the first has 2.",
        "model.z is 4; the first has none.",
    ]


def test_settings_of_an_exchanged_part_are_not_listed():
    first = dict(backbone=dict(type="ResNet", depth=50), neck=dict(n=1))
    second = dict(backbone=dict(type="Swin", windows=7), neck=dict(n=2))
    assert changes(first, second) == [
        "The backbone is Swin, not ResNet.",
        "model.neck.n is 2, not 1.",
    ]
    assert repr(ABSENT) == "nothing"


def test_training_settings_in_words():
    old = Config(dict(load_from="https://x/a.pth", train_cfg=dict(max_epochs=160)))
    new = Config(dict(load_from=None, train_cfg=dict(max_epochs=12)))
    assert in_words(differences(old, new)) == [
        "Training starts from scratch.",
        "Training takes 12 epochs, not 160.",
    ]


def test_detectors_are_named_whether_or_not_they_are_wrapped():
    plain = dict(type="YOLOV3")
    ours = dict(type="UncertaintyLossWrapper", detector="MaskRCNN", tasks="mask_rcnn")
    cascade = dict(type="UncertaintyLossWrapper", detector="CascadeRCNN", tasks="cascade_rcnn")
    assert changes(ours, plain) == [
        "The losses have fixed weights, not learned ones.",
        "The detector is YOLOV3, not MaskRCNN.",
    ]
    assert changes(ours, cascade) == [
        "The detector is CascadeRCNN, not MaskRCNN.",
        "The uncertainties are those of cascade_rcnn, not mask_rcnn.",
    ]


def test_settings_that_only_one_of_two_detectors_has_are_counted():
    first = dict(type="A", x=1, y=2)
    assert changes(first, dict(type="B", z=4, x=3)) == [
        "The detector is B, not A.",
        "model.x is 3, not 1.",
        "2 settings that only one of them has: see --paths.",
    ]


def test_splits_that_change_alike_share_a_sentence():
    def of(root: str, truth: str) -> Config:
        loaders = {f"{s}_dataloader": dict(dataset=dict(data_root=root)) for s in ("train", "test")}
        return Config({**loaders, "test_evaluator": dict(ann_file=truth)})

    found = in_words(differences(of("a/", "a/t.json"), of("b/", "b/t.json")))
    assert found == ["The train and test splits are read from b/, not a/."]
    found = in_words(differences(of("a/", "a/t.json"), of("b/", "c/t.json")))
    assert found[0] == "test_evaluator.ann_file is 'c/t.json', not 'a/t.json'."


def test_what_goes_back_to_a_default_is_said_too():
    attention = dict(norm_cfg=dict(type="SyncBN"))
    first = dict(roi_head=dict(type="GlobalLocalRoIHead", attention=attention))
    second = dict(roi_head=dict(type="GlobalLocalRoIHead"))
    assert changes(first, second) == ["The attention is normalised by its default."]
    old = Config(dict(optim_wrapper=dict(type="AmpOptimWrapper", loss_scale="dynamic")))
    new = Config(dict(optim_wrapper=dict(type="OptimWrapper")))
    assert in_words(differences(old, new)) == ["Training is in full precision."]
