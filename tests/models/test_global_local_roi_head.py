"""The RoI heads: what they share with the stock ones, and where they look."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmglan.models import GlobalLocalAttention
from mmglan.models.global_rois import fractional_rois

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STEM = "glan_r50_fpn_wo-uncertainty_160e_lesions"
CASCADE = "glan_cascade-mask-rcnn_r50_fpn_160e_lesions"
STRIDES = (4, 8, 16, 32)


def force_local(model):
    """Weights of 1 for the local scale and 0 for the others, whatever the features are."""
    for module in model.modules():
        if isinstance(module, GlobalLocalAttention):
            torch.nn.init.zeros_(module.conv2.weight)
            torch.nn.init.constant_(module.conv2.bias, -1e4)
            module.conv2.bias.data[0] = 1e4


def model_config(zoo_config, stem, **attention):
    config = zoo_config(stem).model
    config.roi_head.attention.update(attention)
    return config


def stock_config(config):
    stock = config.copy()
    if stock.type == "UncertaintyLossWrapper":
        stock.type = stock.pop("detector")
        stock.pop("tasks")
    stock.roi_head.pop("attention")
    stock.roi_head.type = stock.roi_head.type.replace("GlobalLocal", "").replace(
        "RoIHead", "RoIHead" if "Cascade" in stock.roi_head.type else "StandardRoIHead"
    )
    return stock


def pyramid(num_images=2, channels=64, side=64):
    return tuple(torch.randn(num_images, channels, side // s, side // s) for s in STRIDES)


def proposals(boxes_per_image):
    return [InstanceData(bboxes=torch.tensor(b).reshape(-1, 4)) for b in boxes_per_image]


BOXES = [[[2.0, 3, 20, 30], [30, 30, 60, 60]], [[5.0, 5, 40, 40]]]


@pytest.mark.parametrize(
    ("stem", "mask_extractor"), [(STEM, "own"), (STEM, "shared"), (CASCADE, "own")]
)
def test_forced_weights_reproduce_the_stock_detector_bit_for_bit(
    stem, mask_extractor, zoo_config, build, batch
):
    config = model_config(zoo_config, stem, global_sizes=[1.0, 0.1])
    if mask_extractor == "shared":
        config.roi_head.mask_roi_extractor = None
        config.roi_head.mask_head.roi_feat_size = 7
        config.train_cfg.rcnn.mask_size = 14
    ours, stock = build(config), build(stock_config(config))
    missing = stock.load_state_dict(ours.state_dict(), strict=False)
    assert missing.missing_keys == []
    force_local(ours)
    outputs = []
    for model in (ours, stock):
        model.train()
        torch.manual_seed(0)
        losses = model(**model.data_preprocessor(batch(), True), mode="loss")
        total, logs = model.parse_losses(losses)
        total.backward()
        grads = {n.removeprefix("detector."): p.grad for n, p in model.named_parameters()}
        model.eval()
        with torch.no_grad():
            results = model(**model.data_preprocessor(batch(), False), mode="predict")
        outputs.append((logs, grads, results))
    (logs, grads, results), (stock_logs, stock_grads, stock_results) = outputs
    for key, value in stock_logs.items():
        assert torch.equal(logs[key], value), key
    for name, grad in stock_grads.items():
        assert torch.equal(grads[name], grad), name
    for result, wanted in zip(results, stock_results, strict=True):
        assert len(wanted.pred_instances) > 0
        for key in ("bboxes", "scores", "labels", "masks"):
            assert torch.equal(result.pred_instances[key], wanted.pred_instances[key]), key


def test_only_the_box_branch_sees_global_features(zoo_config, build):
    head = build(model_config(zoo_config, STEM)).roi_head.eval()
    seen = {}
    head.bbox_head.register_forward_pre_hook(lambda m, args: seen.update(box=args[0]))
    head._image_sizes = [(64, 64), (48, 60)]
    x, rois = pyramid(), bbox2roi([p.bboxes for p in proposals(BOXES)])
    results = head._bbox_forward(x, rois)
    local = head.bbox_roi_extractor(x, rois)
    assert torch.equal(results["bbox_feats"], local)
    assert not torch.allclose(seen["box"], local)


@pytest.mark.parametrize(
    ("global_box", "sizes"), [("image", [(64, 64), (48, 60)]), ("padded", [(64, 64), (64, 64)])]
)
@pytest.mark.parametrize("level", [None, 0, 2])
def test_global_features_are_pooled_from_that_box_and_level(
    global_box, sizes, level, zoo_config, build
):
    config = model_config(
        zoo_config, STEM, global_sizes=[1.0, 0.25], global_box=global_box, global_level=level
    )
    head = build(config).roi_head.eval()
    seen = {}
    head.attention.register_forward_pre_hook(lambda m, args: seen.update(args=args))
    head._image_sizes = [(64, 64), (48, 60)]
    x, rois = pyramid(), bbox2roi([p.bboxes for p in proposals(BOXES)])
    head._bbox_forward(x, rois)
    _, (whole, quarter), index = seen["args"]
    size = torch.tensor(sizes, dtype=torch.float32)
    boxes = torch.tensor([[i, 0, 0, w, h] for i, (h, w) in enumerate(sizes)], dtype=torch.float32)
    layers = head.bbox_roi_extractor.roi_layers
    whole_level, quarter_level = (3, 1) if level is None else (level, level)
    assert torch.equal(whole, layers[whole_level](x[whole_level], boxes))
    wanted = layers[quarter_level](x[quarter_level], fractional_rois(rois, size, 0.25))
    assert torch.equal(quarter, wanted)
    assert index.tolist() == [0, 0, 1]


def test_auto_level_follows_the_size_of_the_box(zoo_config, build):
    head = build(model_config(zoo_config, STEM, global_level="auto")).roi_head.eval()
    x = tuple(torch.randn(1, 64, 512 // s, 512 // s) for s in STRIDES)
    for side, level in ((100, 0), (200, 1), (500, 3)):
        box = torch.tensor([[0.0, 0, 0, side, side]])
        wanted = head.bbox_roi_extractor.roi_layers[level](x[level], box)
        assert torch.equal(head._pool_global(x, box, 1.0, head.bbox_roi_extractor), wanted)


def test_order_and_mix_of_images_do_not_matter(zoo_config, build):
    """A RoI's result depends on its own image only; rows may come in any order."""
    head = build(model_config(zoo_config, STEM, global_sizes=[1.0, 0.1])).roi_head.eval()
    torch.nn.init.normal_(head.attention.conv2.weight)
    x, rois = pyramid(), bbox2roi([p.bboxes for p in proposals(BOXES)])
    head._image_sizes = [(64, 64), (48, 60)]
    together = head._bbox_forward(x, rois)["cls_score"]
    shuffled = head._bbox_forward(x, rois[[2, 0, 1]])["cls_score"]
    torch.testing.assert_close(shuffled, together[[2, 0, 1]])
    head._image_sizes = [(48, 60)]
    alone = rois[2:].clone()
    alone[:, 0] = 0
    single = head._bbox_forward(tuple(level[1:] for level in x), alone)["cls_score"]
    torch.testing.assert_close(single, together[2:])


@pytest.mark.parametrize("stem", [STEM, CASCADE])
@pytest.mark.parametrize("num_items", [(0, 0), (0, 2)])
def test_images_without_lesions_train_every_parameter(stem, num_items, zoo_config, build, batch):
    model = build(model_config(zoo_config, stem))
    data = model.data_preprocessor(batch(num_items=num_items), True)
    total, _ = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    assert torch.isfinite(total)
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_no_proposals(zoo_config, build):
    head = build(model_config(zoo_config, STEM)).roi_head.train()
    x = tuple(level.requires_grad_() for level in pyramid())
    before = head.attention.norm.running_mean.clone()
    head._image_sizes = [(64, 64), (48, 60)]
    results = head._bbox_forward(x, torch.zeros(0, 5))
    assert results["cls_score"].shape == (0, 2)
    (results["cls_score"].sum() + results["bbox_pred"].sum()).backward()
    assert all((p.grad == 0).all() for p in head.attention.parameters())
    assert torch.equal(head.attention.norm.running_mean, before)


def test_image_sizes_are_forgotten_after_each_call(zoo_config, build, batch):
    model = build(model_config(zoo_config, STEM))
    data = model.data_preprocessor(batch(), True)
    model(**data, mode="loss")
    assert model.roi_head._image_sizes is None
    with pytest.raises(ValueError, match="Expected data samples with img_shape but got none"):
        model.roi_head._bbox_forward(pyramid(), bbox2roi([p.bboxes for p in proposals(BOXES)]))


@pytest.mark.parametrize(
    ("option", "value"),
    [("global_level", 4), ("global_level", "best"), ("global_box", "roi"), ("global_sizes", [])],
)
def test_bad_options(option, value, zoo_config, build):
    with pytest.raises(ValueError, match=rf"Expected {option} .* but got"):
        build(model_config(zoo_config, STEM, **{option: value}))


def test_cascade_has_one_attention_per_stage(zoo_config, build):
    model = build(model_config(zoo_config, CASCADE))
    attentions = [n for n, m in model.named_modules() if isinstance(m, GlobalLocalAttention)]
    assert attentions == [f"roi_head.attention.{stage}" for stage in range(3)]


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_each_stage_of_a_cascade_sees_its_own_fused_features(stage, zoo_config, build):
    head = build(model_config(zoo_config, CASCADE)).roi_head.eval()
    for attention in head.attention:
        torch.nn.init.normal_(attention.conv2.weight)
    seen = {}
    head.bbox_head[stage].register_forward_pre_hook(lambda m, args: seen.update(box=args[0]))
    head._image_sizes = [(64, 64), (48, 60)]
    x, rois = pyramid(), bbox2roi([p.bboxes for p in proposals(BOXES)])
    results = head._bbox_forward(stage, x, rois)
    extractor = head.bbox_roi_extractor[stage]
    local = extractor(x, rois)
    fused = [head.fuse_global(x, rois, local, extractor, module) for module in head.attention]
    assert torch.equal(results["bbox_feats"], local)
    assert [torch.equal(seen["box"], feats) for feats in fused] == [i == stage for i in range(3)]
    assert not torch.allclose(seen["box"], local)


@pytest.mark.parametrize("stem", ["glan_r50_fpn_160e_lesions", CASCADE])
def test_attention_of_the_full_model_has_256_hidden_channels(stem):
    """Inputs are 256 local and 256 global channels, outputs a weight for either."""
    config = Config.fromfile(next(CONFIGS.glob(f"*/{stem}.py"))).model
    head = MODELS.build(config.roi_head)
    modules = [module for module in head.modules() if isinstance(module, GlobalLocalAttention)]
    assert len(modules) == (3 if stem == CASCADE else 1)
    for attention in modules:
        assert attention.conv1.weight.shape == (256, 512, 3, 3)
        assert attention.conv2.weight.shape == (2, 256, 3, 3)
