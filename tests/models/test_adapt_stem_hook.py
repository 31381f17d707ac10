"""Pretrained weights for 2.5D input."""

import pytest
import torch
from mmengine.runner import Runner

from mmglan.engine.hooks.adapt_stem_hook import adapt_stem

OURS = "glan_r50_fpn_160e_lesions"


def model_with(channels, zoo_config, build, stem=OURS):
    config = zoo_config(stem).model
    if channels != 3:
        config.backbone.in_channels = channels
    return build(config).eval()


@pytest.mark.parametrize("channels", [1, 5, 7])
def test_equal_slices_give_the_features_of_the_grey_image(channels, zoo_config, build):
    colour = model_with(3, zoo_config, build)
    stacked = model_with(channels, zoo_config, build)
    state = colour.state_dict()
    assert adapt_stem(state, stacked) == ["backbone.conv1.weight"]
    stacked.load_state_dict(state)
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = colour.extract_feat(image.repeat(1, 3, 1, 1))
        actual = stacked.extract_feat(image.repeat(1, channels, 1, 1))
    for level, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(level, wanted)


def test_fitting_weights_are_left_alone(zoo_config, build):
    five = model_with(5, zoo_config, build)
    state = five.state_dict()
    assert adapt_stem(state, five) == []
    three = model_with(3, zoo_config, build)
    assert adapt_stem(three.state_dict(), three) == []
    assert adapt_stem({}, three) == []


def test_the_hook_of_the_zoo_adapts_load_from(zoo_config, build, tmp_path):
    """One line, `backbone.in_channels`, and the runner loads colour weights."""
    colour = model_with(3, zoo_config, build)
    path = tmp_path / "colour.pth"
    torch.save(dict(state_dict=colour.state_dict(), meta={}), path)
    config = zoo_config(OURS)
    config.model.backbone.in_channels = 5
    for key in list(config):
        if key.split("_")[0] in ("train", "val", "test"):
            config.pop(key)
    config.pop("optim_wrapper"), config.pop("param_scheduler")
    config.update(work_dir=str(tmp_path), load_from=str(path))
    runner = Runner.from_cfg(config)
    runner.load_or_resume()
    kernel = runner.model.state_dict()["backbone.conv1.weight"]
    assert kernel.shape[1] == 5
    torch.testing.assert_close(kernel.sum(1), colour.state_dict()["backbone.conv1.weight"].sum(1))


def test_five_slices_train_and_predict(zoo_config, build, batch):
    """The lines of docs/model.md."""
    config = zoo_config(OURS).model
    config.backbone.in_channels = 5
    config.data_preprocessor.update(mean=[116.0], std=[57.0])
    model = build(config)
    data = model.data_preprocessor(batch(channels=5), True)
    assert data["inputs"].shape == (2, 5, 64, 64)
    total, _ = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    grad = model.backbone.conv1.weight.grad
    assert torch.isfinite(total) and (grad.abs().sum(dim=(0, 2, 3)) > 0).all()
    model.eval()
    with torch.no_grad():
        assert len(model.test_step(batch(channels=5))) == 2
