"""The plain form of the attention, and small detectors of the zoo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

import mmglan.datasets
import mmglan.models  # noqa: F401  (registers the modules)
from mmglan.experiments.shrink import shrink

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="session", autouse=True)
def _quiet_single_thread():
    """Small tensors gain nothing from threads; names in configs are mmdet's."""
    init_default_scope("mmdet")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def plain_attention() -> Callable[..., tuple[Tensor, Tensor]]:
    """Eq. 1-2 as the paper writes them: everything per RoI, one convolution over all scales."""

    def attend(attention, local, global_feats, image_index):
        scales = [local]
        for size, feats in zip(attention.global_sizes, global_feats, strict=True):
            scales.append(feats[image_index] if size == 1 else feats)
        conv1 = attention.conv1
        hidden = F.conv2d(torch.cat(scales, dim=1), conv1.weight, conv1.bias, padding=1)
        hidden = F.relu(attention.norm(hidden))
        logits = F.conv2d(hidden, attention.conv2.weight, attention.conv2.bias, padding=1)
        weights = logits.softmax(dim=1)
        fused = sum(weights[:, s, None] * scale for s, scale in enumerate(scales))
        return fused, weights

    return attend


@pytest.fixture(scope="session")
def zoo_config() -> Callable[[str], Config]:
    """A config of the zoo in its small form, by its stem."""
    files = {path.stem: path for path in CONFIGS.glob("[!_]*/*.py")}
    return lambda stem: shrink(Config.fromfile(files[stem]), "data")


@pytest.fixture(scope="session")
def retinanet_config() -> Callable[[], ConfigDict]:
    """MMDetection's RetinaNet, which the zoo does not hold, in a small form."""
    path = Path(mmdet.__file__).parent / ".mim/configs/_base_/models/retinanet_r50_fpn.py"

    def make() -> ConfigDict:
        config = Config.fromfile(path).model
        config.backbone.update(depth=18, base_channels=16, init_cfg=None, norm_eval=False)
        config.neck.in_channels = [16, 32, 64, 128]
        config.bbox_head.num_classes = 1
        return config

    return make


@pytest.fixture(scope="session")
def build() -> Callable[[dict], nn.Module]:
    """Build an initialised model that runs on a CPU."""

    def build_model(config: dict, seed: int = 0, **settings) -> nn.Module:
        torch.manual_seed(seed)
        model = revert_sync_batchnorm(MODELS.build(ConfigDict(config, **settings)))
        model.init_weights()
        return model

    return build_model


def lesion_sample(generator: torch.Generator, height: int, width: int, count: int):
    """A sample with `count` square lesions of 12-24 pixels and their masks."""
    masks = np.zeros((count, height, width), dtype=np.uint8)
    boxes = torch.zeros(count, 4)
    for i in range(count):
        side, x, y = (int(torch.randint(12, 25, (1,), generator=generator)) for _ in range(3))
        boxes[i] = torch.tensor([x, y, x + side, y + side])
        masks[i, y : y + side, x : x + side] = 1
    metainfo = dict(
        img_id=0,
        img_shape=(height, width),
        ori_shape=(height, width),
        scale_factor=(1.0, 1.0),
    )
    sample = DetDataSample(metainfo=metainfo)
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(boxes),
        labels=torch.zeros(count, dtype=torch.long),
        masks=BitmapMasks(masks, height, width),
    )
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.zeros(0, 4)),
        labels=torch.zeros(0, dtype=torch.long),
        masks=BitmapMasks(masks[:0], height, width),
    )
    return sample


@pytest.fixture(scope="session")
def batch() -> Callable[..., dict]:
    """Images and samples as a loader gives them: by default a filled image and one without."""

    def make(num_items=(2, 0), sizes=((64, 64), (48, 60)), channels=3, seed=0) -> dict:
        generator = torch.Generator().manual_seed(seed)
        images = [torch.rand(channels, *size, generator=generator) * 255 for size in sizes]
        samples = [
            lesion_sample(generator, *size, count)
            for size, count in zip(sizes, num_items, strict=True)
        ]
        return dict(inputs=images, data_samples=samples)

    return make
