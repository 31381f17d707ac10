"""The wrapper's parameters are the plain detector's, for whatever reads their names."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmglan.experiments.shrink import TINY, _shrink_model
from mmglan.models.uncertainty_tasks import PRESETS

ZOO = {
    "faster_rcnn": "faster-rcnn_r50_fpn_160e_lesions",
    "mask_rcnn": "mask-rcnn_r50_fpn_160e_lesions",
    "cascade_rcnn": "detectors_cascade-rcnn_r50_160e_lesions",
    "cascade_mask_rcnn": "cascade-mask-rcnn_r50_fpn_160e_lesions",
    "cascade_rcnn_per_stage": "detectors_cascade-rcnn_r50_160e_lesions",
    "cascade_mask_rcnn_per_stage": "cascade-mask-rcnn_r50_fpn_160e_lesions",
    "vfnet": "vfnet_r50_fpn_160e_lesions",
    "yolov3": "yolov3_d53_160e_lesions",
}
MMDET = {
    "htc": "htc/htc_r50_fpn_1x_coco.py",
    "retinanet": "retinanet/retinanet_r50_fpn_1x_coco.py",
    "fcos": "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py",
}
ALL_RULES = dict(
    custom_keys={"backbone": dict(lr_mult=0.1), "neck.lateral": dict(decay_mult=0.5)},
    bias_lr_mult=2.0,
    bias_decay_mult=0.0,
    norm_decay_mult=0.0,
    flat_decay_mult=0.25,
    dcn_offset_lr_mult=0.1,
    bypass_duplicate=True,
)
LAYERS = dict(num_layers=6, decay_rate=0.7)
CONSTRUCTORS = {
    "no rules": {},
    "every rule": dict(paramwise_cfg=ALL_RULES),
    "layer-wise": dict(
        constructor="LearningRateDecayOptimizerConstructor",
        paramwise_cfg=dict(LAYERS, decay_type="layer_wise"),
    ),
    "stage-wise": dict(
        constructor="LearningRateDecayOptimizerConstructor",
        paramwise_cfg=dict(LAYERS, decay_type="stage_wise"),
    ),
}


class ConvNeXtNames(nn.Module):
    """The layers of a ConvNeXt, as far as the constructors look at them."""

    def __init__(self):
        super().__init__()
        self.downsample_layers = nn.ModuleList(nn.Conv2d(1, 1, 1) for _ in range(4))
        self.stages = nn.ModuleList(nn.ModuleList([nn.Conv2d(1, 1, 1)]) for _ in range(4))


@pytest.fixture(scope="module")
def plain_and_wrapped(zoo_config, build):
    """Both forms of the detector of each preset, untrained."""

    def make(preset):
        if preset in ZOO:
            config = zoo_config(ZOO[preset]).model
        else:
            config = get_config(f"mmdet::{MMDET[preset]}").model
            config.backbone.init_cfg = None
            _shrink_model(config, TINY)
        flat = ConfigDict(config, type="UncertaintyLossWrapper", detector=config.type, tasks=preset)
        return build(config), build(flat)

    return make


def settings_of(model, settings):
    """Rate and decay of each parameter by its name."""
    optimizer = dict(type="AdamW", lr=1e-3, weight_decay=0.05)
    wrapper = dict(type="OptimWrapper", optimizer=optimizer, **settings)
    groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
    by_id = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_by_every_constructor(preset, plain_and_wrapped):
    plain, wrapped = plain_and_wrapped(preset)
    names = [name for name, _ in plain.named_parameters()]
    assert [name for name, _ in wrapped.named_parameters()] == [*names, "uncertainty.log_variance"]
    assert [name for name, _ in wrapped.named_children()][:-1] == [
        name for name, _ in plain.named_children()
    ]
    for name, settings in CONSTRUCTORS.items():
        if "constructor" in settings:
            plain.backbone, wrapped.backbone = ConvNeXtNames(), ConvNeXtNames()
        expected, found = settings_of(plain, settings), settings_of(wrapped, settings)
        del found["uncertainty.log_variance"]
        assert found == expected, name
        assert name == "no rules" or len(set(found.values())) > 3, name


def test_a_detector_that_shares_layers_trains_with_the_zoos_schedule(zoo_config, build):
    config = get_config("mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py").model
    config.backbone.update(init_cfg=None, widen_factor=0.0625)
    config.neck.update(in_channels=[16, 32, 64], out_channels=16, num_csp_blocks=1)
    config.bbox_head.update(in_channels=16, feat_channels=16)
    config.update(type="UncertaintyLossWrapper", detector="RTMDet", tasks=dict(box="loss_bbox"))
    model = build(config)
    schedule = zoo_config("glan_r50_fpn_160e_lesions").optim_wrapper
    groups = build_optim_wrapper(model, schedule).optimizer.param_groups
    assert {id(p) for g in groups for p in g["params"]} == {id(p) for p in model.parameters()}


def test_checkpoints_of_the_wrapper_that_held_the_detector_as_a_part_still_load(plain_and_wrapped):
    plain, wrapped = plain_and_wrapped("retinanet")
    old = {f"detector.{key}": value + 1 for key, value in plain.state_dict().items()}
    old["uncertainty.log_variance"] = torch.tensor([0.5, -0.5])
    wrapped.load_state_dict(old, strict=True)
    assert wrapped.uncertainty.log_variance.tolist() == [0.5, -0.5]
    for key, value in plain.state_dict().items():
        assert torch.equal(wrapped.state_dict()[key], value + 1), key
