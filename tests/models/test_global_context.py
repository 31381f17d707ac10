"""The attention uses what lies outside the RoI, where nothing else can.

Each image holds noise and, in one of its corners, a bright or a dark patch that decides the class
of a RoI near the centre. Features see 12 pixels; the RoI stays 12 pixels away from every patch. So
the RoI's own features hold no trace of its class.
"""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from torch import nn

SIDE, PATCH, STRIDE, CHANNELS = 64, 8, 4, 16


def make_images(count, generator):
    """Images `(count, 1, 64, 64)`, RoIs `(count, 5)` and classes `(count,)`."""
    images = torch.randn(count, 1, SIDE, SIDE, generator=generator)
    classes = torch.randint(2, (count,), generator=generator)
    corners = torch.randint(2, (count, 2), generator=generator) * (SIDE - PATCH)
    for image, label, (x, y) in zip(images, classes, corners.tolist(), strict=True):
        image[0, y : y + PATCH, x : x + PATCH] += 3.0 if label else -3.0
    low = torch.randint(PATCH + 12, 30, (count, 2), generator=generator)
    sizes = torch.randint(8, 15, (count, 2), generator=generator)
    rois = torch.cat([torch.arange(count)[:, None], low, low + sizes], dim=1).float()
    assert rois[:, 3:].max() <= SIDE - PATCH - 12
    return images, rois, classes


def train_and_test(head_type: str) -> float:
    """Accuracy on fresh images after a short training."""
    torch.manual_seed(0)
    MMLogger.get_current_instance().setLevel("ERROR")
    backbone = nn.Sequential(
        nn.Conv2d(1, CHANNELS, STRIDE, stride=STRIDE),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        nn.ReLU(),
    )
    config = dict(
        type=head_type,
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor",
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=0),
            out_channels=CHANNELS,
            featmap_strides=[STRIDE],
        ),
        bbox_head=dict(
            type="Shared2FCBBoxHead", in_channels=CHANNELS, fc_out_channels=32, num_classes=1
        ),
    )
    if head_type == "GlobalLocalRoIHead":
        config["attention"] = dict(channels=CHANNELS)
    head = MODELS.build(ConfigDict(config))
    head.init_weights()

    def scores(images, rois):
        head._image_sizes = [(SIDE, SIDE)] * len(images)
        return head._bbox_forward((backbone(images),), rois)["cls_score"]

    parameters = [*backbone.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(120):
        images, rois, classes = make_images(64, generator)
        loss = F.cross_entropy(scores(images, rois), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    head.eval()
    images, rois, classes = make_images(1000, generator)
    with torch.no_grad():
        return (scores(images, rois).argmax(1) == classes).float().mean().item()


def test_with_attention_the_head_learns_it():
    assert train_and_test("GlobalLocalRoIHead") >= 0.95


def test_the_stock_head_stays_at_chance():
    assert train_and_test("StandardRoIHead") == pytest.approx(0.5, abs=0.06)
