"""Small forms of the zoo's configs, for tests and for machines without a GPU.

A shrunk config keeps what its name says (heads, losses, attention, sampler, precision) and loses
size: backbone depth, channels, input pixels, numbers of proposals, epochs. Tests run every config
in `TINY` form; `mmglan run-table --small` trains whole tables in `SMALL` form on a CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmglan.config_options import set_variable, settings


@dataclass(frozen=True)
class Size:
    """How far to shrink.

    Attributes:
        image: longest side of the input in pixels.
        channels: of the pyramid and the heads; the zoo has 256.
        width: channels of the first backbone stage; the zoo has 64.
        fc: width of the fully connected layers; the zoo has 1024.
        rois: RoIs sampled per image, at most.
        proposals: proposals kept per image, at most.
        anchor_scale: anchor size / stride; the zoo has 8.
        batch: images per batch.
        epochs: length of training.
        mask_convs: convolutions of the mask head; the zoo has 4.
    """

    image: int
    channels: int
    width: int
    fc: int
    rois: int
    proposals: int
    anchor_scale: int
    batch: int
    epochs: int
    mask_convs: int


TINY = Size(64, 64, 16, 32, 16, 32, 4, 2, 1, 1)
SMALL = Size(128, 64, 32, 128, 64, 200, 2, 4, 15, 2)


def shrink(cfg: Config, data_root: str | Path, size: Size = TINY) -> Config:
    """Make a small, untrained form of a config that runs on a CPU.

    Args:
        cfg: any config of the zoo; it is not changed.
        data_root: data set as `data_prep.prepare` writes it.
        size: how far to shrink.

    Returns:
        The small config: no checkpoint to load, one process, no trackers.

    Raises:
        ValueError: the backbone is of a kind that this function does not know.
    """
    cfg = copy.deepcopy(cfg)
    if cfg.model.backbone.type == "DetectoRS_ResNet":
        # Its switchable convolutions reflect two cells of maps of 1/32 of the input.
        size = replace(size, image=max(size.image, 96))
    _shrink_model(cfg.model, size)
    cfg.load_from = None
    cfg.optim_wrapper.optimizer = dict(type="AdamW", lr=cfg.learning_rate, weight_decay=1e-4)
    cfg.param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20)]
    cfg.train_cfg.val_interval = cfg.max_epochs
    cfg.test_evaluator.bootstrap = 0
    variables = dict(
        data_root=data_root,
        volumes_root=data_root,
        image_scale=(size.image, size.image),
        batch_size=size.batch,
        num_workers=0,
        max_epochs=size.epochs,
        learning_rate=3e-4,
        vis_backends=[dict(type="LocalVisBackend")],
    )
    before = dict(settings(cfg))
    for name, value in variables.items():
        if name in cfg:
            set_variable(cfg, name, value, before)
    for hook in cfg.get("custom_hooks", []):
        if hook.type == "SelfTrainingHook":
            hook.begin = min(hook.begin, cfg.max_epochs - 1)
    return cfg


def _shrink_model(model: Any, size: Size) -> None:
    old_widths = set(model.neck.in_channels)
    widths = _shrink_backbone(model.backbone, size)
    if model.neck.type == "RFP":
        _shrink_backbone(model.neck.rfp_backbone, size)
        model.neck.rfp_backbone.rfp_inplanes = size.channels
        model.neck.aspp_out_channels = size.channels // 4
    for part in ("neck", "rpn_head", "roi_head", "bbox_head"):
        for node in _nodes(model.get(part)):
            _shrink_node(node, size)
    if widths is not None and old_widths:
        model.neck.in_channels = widths
    for name in ("train_cfg", "test_cfg"):
        for node in _nodes(model.get(name)):
            _shrink_limits(node, size)
    if "attention" in model.get("roi_head", {}):
        model.roi_head.attention.channels = size.channels


def _shrink_backbone(backbone: Any, size: Size) -> list[int] | None:
    """Shrink a backbone; returns its new output channels, None where they stay."""
    width = size.width
    # From scratch, every layer and every batch statistic must learn.
    if backbone.type == "ResNet":
        backbone.update(depth=18, base_channels=width, frozen_stages=-1, norm_eval=False)
        return [width, 2 * width, 4 * width, 8 * width]
    if backbone.type == "DetectoRS_ResNet":
        # Its shallowest form has 50 layers; NaN offsets crash the CPU's deformable convolution.
        backbone.update(base_channels=width, frozen_stages=-1, norm_eval=False)
        backbone.sac.use_deform = False
        return [4 * width, 8 * width, 16 * width, 32 * width]
    if backbone.type == "SwinTransformer":
        backbone.update(embed_dims=width, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
        return [width, 2 * width, 4 * width, 8 * width]
    if backbone.type == "TrimmedMobileNetV2":
        backbone.update(frozen_stages=-1, norm_eval=False, init_cfg=None)
        return None
    if backbone.type == "Darknet":
        return None
    raise ValueError(f"Expected a backbone of the zoo but got {backbone.type}.")


def _shrink_node(node: Any, size: Size) -> None:
    for key in ("in_channels", "out_channels", "feat_channels", "conv_out_channels"):
        if node.get(key) == 256:
            node[key] = size.channels
    if "fc_out_channels" in node:
        node.fc_out_channels = size.fc
    if node.get("type") == "FCNMaskHead":
        node.num_convs = size.mask_convs
    if node.get("type") == "AnchorGenerator" and "scales" in node:
        node.scales = [size.anchor_scale]


def _shrink_limits(node: Any, size: Size) -> None:
    limits = {"max_per_img": size.proposals, "nms_pre": 4 * size.proposals}
    if node.get("type") == "RandomSampler":
        limits["num"] = size.rois
    for key, limit in limits.items():
        if key in node:
            node[key] = min(node[key], limit)


def _nodes(tree: Any) -> Iterator[Any]:
    """Walk through all dicts of a nested config."""
    if isinstance(tree, dict):
        yield tree
        for value in list(tree.values()):
            yield from _nodes(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _nodes(value)
