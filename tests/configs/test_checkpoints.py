"""The COCO checkpoint that a config starts from fits it, key by key.

The checkpoints themselves are not fetched: the state dict of mmdet's own config has their keys and
shapes. Models are built in full size, most of them on the meta device, where they need no memory.
"""

import copy
from functools import cache
from pathlib import Path

import mmdet
import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.hub import get_config

from mmglan.experiments.shrink import shrink

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = CONFIGS.glob("[!_]*/*.py")
# demo: from scratch; cpu: from a backbone alone.
STEMS = sorted(path.stem for path in FILES if path.parent.name not in ("demo", "cpu"))
# Folder of the checkpoint on the model zoo -> mmdet's config.
SOURCES = {
    "mask_rcnn_r50_fpn_1x_coco": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "faster_rcnn_r50_fpn_1x_coco": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "cascade_mask_rcnn_r50_fpn_1x_coco": "cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py",
    "detectors_cascade_rcnn_r50_1x_coco": "detectors/detectors_cascade-rcnn_r50_1x_coco.py",
    "yolov3_d53_mstrain-608_273e_coco": "yolo/yolov3_d53_8xb8-ms-608-273e_coco.py",
    "vfnet_r50_fpn_1x_coco": "vfnet/vfnet_r50_fpn_1x_coco.py",
    "mask_rcnn_swin-t-p4-w7_fpn_1x_coco": "swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py",
}


def keys_of(model_cfg) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a detector, the uncertainties of a wrapped one left out."""
    model_cfg = copy.deepcopy(model_cfg)  # building writes into it
    if "detector" in model_cfg:
        model_cfg["type"] = model_cfg.pop("detector")
        del model_cfg["tasks"]
    # Swin draws its drop rates from tensors, which need values.
    device = "cpu" if model_cfg["backbone"]["type"] == "SwinTransformer" else "meta"
    with torch.device(device):
        model = MODELS.build(model_cfg)
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


@cache
def coco_keys(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a COCO checkpoint."""
    model_cfg = get_config(f"mmdet::{SOURCES[name]}").model
    model_cfg.backbone.pop("init_cfg", None)
    return keys_of(model_cfg)


def modules_of(keys) -> set[str]:
    return {key.rsplit(".", 1)[0] for key in keys}


def outputs_of_classes(stem: str) -> set[str]:
    """Layers whose size depends on the number of classes: one here, 80 in COCO."""
    if "yolov3" in stem:
        return {f"bbox_head.convs_pred.{scale}" for scale in range(3)}
    if "vfnet" in stem:
        return {"bbox_head.vfnet_cls"}
    if "cascade" in stem:  # the boxes of a cascade do not depend on the class
        layers = {f"roi_head.bbox_head.{stage}.fc_cls" for stage in range(3)}
        masks = {f"roi_head.mask_head.{stage}.conv_logits" for stage in range(3)}
        return layers | (masks if "mask" in stem else set())
    layers = {"roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg"}
    boxes_only = "wo-pseudo-mask" in stem or "faster" in stem
    return layers | (set() if boxes_only else {"roi_head.mask_head.conv_logits"})


def own_modules(stem: str) -> set[str]:
    """Modules that no detector of mmdet has: they start untrained."""
    attention = stem.startswith("glan") and "wo-attention" not in stem
    stages = [f"attention.{i}" for i in range(3)] if "cascade" in stem else ["attention"]
    layers = [f"roi_head.{s}.{layer}" for s in stages for layer in ("conv1", "norm", "conv2")]
    return set(layers if attention else [])


@pytest.mark.parametrize("stem", STEMS)
def test_coco_checkpoint_fits(stem, load_config):
    cfg = load_config(stem)
    assert cfg.load_from.startswith("https://download.openmmlab.com/mmdetection/v2.0/")
    coco = coco_keys(cfg.load_from.split("/")[-2])
    ours = keys_of(cfg.model)
    missing = modules_of(ours.keys() - coco.keys())
    unexpected = modules_of(coco.keys() - ours.keys())
    resized = modules_of(key for key in ours.keys() & coco.keys() if ours[key] != coco[key])
    assert missing == own_modules(stem)
    assert resized == outputs_of_classes(stem)
    if "wo-pseudo-mask" in stem:
        assert unexpected and all(name.startswith("roi_head.mask_head") for name in unexpected)
    else:
        assert unexpected == set()


@pytest.mark.parametrize(
    "stem", ["glan_r50_fpn_160e_lesions", "vfnet_r50_fpn_uncertainty_160e_lesions"]
)
def test_a_wrapped_detector_has_the_keys_of_the_plain_one(stem, load_config, tmp_path):
    cfg = shrink(load_config(stem), tmp_path)
    wrapped = MODELS.build(cfg.model).state_dict()
    assert wrapped.keys() - keys_of(cfg.model).keys() == {
        "uncertainty.log_variance",
        "uncertainty.task_names",
    }
    assert keys_of(cfg.model).keys() <= wrapped.keys()


@pytest.mark.parametrize("stem", STEMS)
def test_address_is_the_one_that_mmdet_gives(stem, load_config):
    """The model zoo of the installed MMDetection names the checkpoint of each of its configs."""
    address = load_config(stem).load_from
    source = SOURCES[address.split("/")[-2]]
    metafile = Path(mmdet.__file__).parent / ".mim/configs" / source.split("/")[0] / "metafile.yml"
    models = yaml.safe_load(metafile.read_text())["Models"]
    (weights,) = [m["Weights"] for m in models if m["Config"] == f"configs/{source}"]
    assert address == weights


@pytest.mark.parametrize("stem", STEMS)
def test_nothing_else_is_fetched(stem, load_config):
    """All weights are in the COCO checkpoint: no second download of a backbone."""
    model = load_config(stem).model
    assert model.backbone.get("init_cfg") is None
    assert model.neck.get("rfp_backbone", {}).get("pretrained") is None
