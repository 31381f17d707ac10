"""Heads that the zoo does not hold: HTC, and a C4 head whose extractor has a shared head."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from mmengine.structures import PixelData

from mmglan.experiments.shrink import TINY, _shrink_model
from mmglan.models import GlobalLocalAttention


def htc(semantic: bool):
    name = "htc_r50_fpn_1x_coco" if semantic else "htc-without-semantic_r50_fpn_1x_coco"
    config = get_config(f"mmdet::htc/{name}.py").model
    config.backbone.init_cfg = None
    config.roi_head.update(type="GlobalLocalHTCRoIHead", attention=dict(global_sizes=[1.0]))
    _shrink_model(config, TINY)
    config.update(type="UncertaintyLossWrapper", detector="HybridTaskCascade")
    return config


@pytest.mark.parametrize("semantic", [False, True])
def test_htc_trains_and_predicts(semantic, build, batch):
    config = htc(semantic)
    config.tasks = "htc" if semantic else "cascade_mask_rcnn"
    model = build(config)
    data = model.data_preprocessor(batch((2, 1), ((64, 64), (64, 64))), True)
    for sample in data["data_samples"]:
        sample.gt_sem_seg = PixelData(sem_seg=torch.randint(183, (1, 64, 64)))
    total, logs = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    assert ("sigma_semantic" in logs) == semantic
    assert torch.isfinite(total)
    attentions = [m for m in model.modules() if isinstance(m, GlobalLocalAttention)]
    assert len(attentions) == 3
    assert all(p.grad.abs().sum() > 0 for m in attentions for p in m.parameters())
    model.eval()
    with torch.no_grad():
        (first, _) = model.test_step(batch())
    assert "masks" in first.pred_instances


def c4_head(head_type: str, **settings):
    torch.manual_seed(0)
    MMLogger.get_current_instance().setLevel("ERROR")
    config = dict(
        type=head_type,
        shared_head=dict(type="ResLayer", depth=18, stage=3, norm_eval=True),
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[16],
        ),
        bbox_head=dict(
            type="BBoxHead", with_avg_pool=True, in_channels=512, roi_feat_size=7, num_classes=1
        ),
        **settings,
    )
    head = MODELS.build(ConfigDict(config)).eval()
    head.init_weights()
    return head


def test_a_shared_head_serves_the_global_features_too():
    stock = c4_head("StandardRoIHead")
    ours = c4_head("GlobalLocalRoIHead", attention=dict(in_channels=512, channels=32))
    ours.load_state_dict(stock.state_dict(), strict=False)
    seen = {}
    ours.attention.register_forward_pre_hook(lambda _, args: seen.update(args=args))
    x = (torch.randn(1, 256, 8, 8),)
    rois = torch.tensor([[0.0, 10, 10, 60, 70], [0, 5, 30, 90, 100]])
    whole = torch.tensor([[0.0, 0, 0, 120, 100]])
    ours._image_sizes = [(100, 120)]
    fused = ours._bbox_forward(x, rois)
    local, (global_feats,), _ = seen["args"]
    assert torch.equal(local, stock._bbox_forward(x, rois)["bbox_feats"])
    assert torch.equal(global_feats, stock._bbox_forward(x, whole)["bbox_feats"])
    torch.nn.init.constant_(ours.attention.conv2.bias, -1e4)
    ours.attention.conv2.bias.data[0] = 1e4
    forced = ours._bbox_forward(x, rois)["cls_score"]
    assert torch.equal(forced, stock._bbox_forward(x, rois)["cls_score"])
    assert not torch.equal(forced, fused["cls_score"])


@pytest.mark.parametrize("stage", [0, 2])
def test_htc_classifies_the_fused_features_and_adds_the_semantic_ones_first(stage, build):
    head = build(htc(semantic=True)).roi_head.eval()
    for attention in head.attention:
        torch.nn.init.normal_(attention.conv2.weight)
    seen = {}
    head.attention[stage].register_forward_pre_hook(lambda _, args: seen.update(local=args[0]))
    head.attention[stage].register_forward_hook(lambda _, args, fused: seen.update(fused=fused))
    head.bbox_head[stage].register_forward_pre_hook(lambda _, args: seen.update(box=args[0]))
    channels = head.bbox_roi_extractor[stage].out_channels
    x = tuple(torch.randn(1, channels, 64 // s, 64 // s) for s in (4, 8, 16, 32, 64))
    rois = torch.tensor([[0.0, 10, 10, 40, 50], [0, 5, 30, 60, 60]])
    semantic = torch.randn(1, channels, 8, 8)
    head._image_sizes = [(64, 64)]
    head._bbox_forward(stage, x, rois, semantic)
    extractor = head.bbox_roi_extractor[stage]
    pooled = torch.nn.functional.adaptive_avg_pool2d(
        head.semantic_roi_extractor([semantic], rois), 7
    )
    torch.testing.assert_close(seen["local"], extractor(x[: extractor.num_inputs], rois) + pooled)
    assert torch.equal(seen["box"], seen["fused"])
    assert not torch.allclose(seen["box"], seen["local"])
