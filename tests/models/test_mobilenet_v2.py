"""The trimmed backbone gives the original's features and leaves no parameter without gradient."""

import pytest
import torch
from mmdet.models.backbones import MobileNetV2

from mmglan.models import TrimmedMobileNetV2


@pytest.mark.parametrize(("indices", "last"), [((2, 4, 6), False), ((2,), False), ((2, 7), True)])
def test_features_and_gradients(indices, last):
    original = MobileNetV2(widen_factor=0.25, out_indices=indices)
    trimmed = TrimmedMobileNetV2(widen_factor=0.25, out_indices=indices)
    for model in (original, trimmed):
        model.eval()  # MMDetection's returns nothing
    trimmed.load_state_dict(original.state_dict(), strict=False)
    images = torch.randn(1, 3, 32, 32)
    for found, expected in zip(trimmed(images), original(images), strict=True):
        assert torch.equal(found, expected)
    sum(feature.sum() for feature in trimmed(images)).backward()
    assert all(p.grad is not None for p in trimmed.parameters())
    assert hasattr(trimmed, "conv2") == last
