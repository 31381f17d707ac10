"""Both modules under what a training run does: precision, accumulation, EMA, resume, memory."""

import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper, build_optim_wrapper

OURS = "glan_r50_fpn_160e_lesions"
CASCADE = "glan_cascade-mask-rcnn_r50_fpn_160e_lesions"


def losses_of(model, data, seed=0):
    torch.manual_seed(seed)
    return model.parse_losses(model(**model.data_preprocessor(data, True), mode="loss"))


def train_step(model, optim, data, seed):
    torch.manual_seed(seed)
    return model.train_step(data, optim)


def test_mixed_precision_keeps_the_uncertainties_in_float32(retinanet_config, build, batch):
    """RetinaNet, since the CPU operators of mmcv that RoIs need know no bfloat16."""
    config = retinanet_config()
    config.update(type="UncertaintyLossWrapper", detector=config.type, tasks="retinanet")
    model = build(config, init_log_variance=0.5)
    expected, _ = losses_of(copy.deepcopy(model), batch())
    with torch.autocast("cpu", torch.bfloat16):
        total, logs = losses_of(model, batch())
    total.backward()
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(expected.item(), rel=0.02)
    assert all(logs[k].dtype == torch.float32 for k in logs if k.startswith(("raw_", "sigma_")))
    assert model.uncertainty.log_variance.grad.dtype == torch.float32
    # The neck is left out: PyTorch's bfloat16 gradient of a strided 1x1 map is not always finite.
    assert all(torch.isfinite(p.grad).all() for p in model.bbox_head.parameters())


def test_mixed_precision_of_the_box_branch(zoo_config, build):
    head = build(zoo_config(OURS).model).roi_head.train()
    x = tuple(torch.randn(2, 64, 64 // s, 64 // s, requires_grad=True) for s in (4, 8, 16, 32))
    rois = torch.tensor([[0.0, 2, 3, 30, 40], [1, 5, 5, 20, 25], [1, 0, 0, 9, 9]])
    head._image_sizes = [(64, 64), (48, 60)]
    expected = head._bbox_forward(x, rois)["cls_score"]
    with torch.autocast("cpu", torch.bfloat16):
        scores = head._bbox_forward(x, rois)["cls_score"]
    scores.float().square().mean().backward()
    assert scores.dtype == torch.bfloat16
    torch.testing.assert_close(scores.float(), expected, rtol=0.05, atol=0.05)
    assert all(torch.isfinite(p.grad).all() for p in head.attention.parameters())


def test_gradients_accumulate_to_the_mean_of_the_batches(zoo_config, build, batch):
    model = build(zoo_config(OURS).model)
    before = copy.deepcopy(model)
    grads = []
    for seed in (1, 2):
        other = copy.deepcopy(before)
        losses_of(other, batch(seed=seed), seed)[0].backward()
        grads.append({n: p.grad for n, p in other.named_parameters()})
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=2)
    optim.initialize_count_status(model, 0, 2)
    for module in (model, before):  # running statistics move with each batch, gradients do not
        module.train()
    for seed in (1, 2):
        train_step(model, optim, batch(seed=seed), seed)
    for name, parameter in before.named_parameters():
        wanted = parameter - 0.1 * (grads[0][name] + grads[1][name]) / 2
        torch.testing.assert_close(model.get_parameter(name), wanted, rtol=1e-4, atol=1e-6)


def test_moving_average_covers_the_uncertainties(zoo_config, build, batch):
    model = build(zoo_config(OURS).model)
    ema = ExponentialMovingAverage(model, momentum=0.25, update_buffers=True)
    start = model.state_dict()["uncertainty.log_variance"].clone()
    ema.update_parameters(model)
    model.uncertainty.log_variance.data.add_(1)
    model.get_parameter("roi_head.attention.conv1.weight").data.add_(1)
    ema.update_parameters(model)
    torch.testing.assert_close(ema.module.uncertainty.log_variance, start + 0.25)
    averaged = ema.module.state_dict()
    assert list(averaged) == list(model.state_dict())
    key = "roi_head.attention.conv1.weight"
    torch.testing.assert_close(averaged[key], model.state_dict()[key] - 0.75)
    ema.module.eval()
    with torch.no_grad():
        assert len(ema.module.test_step(batch())) == 2


def test_a_resumed_run_goes_on_as_if_undisturbed(zoo_config, build, batch, tmp_path):
    config = zoo_config(OURS)

    def start():
        model = build(config.model).train()
        return model, build_optim_wrapper(model, config.optim_wrapper)

    model, optim = start()
    for step in range(2):
        train_step(model, optim, batch(seed=step), step)
    torch.save((model.state_dict(), optim.state_dict()), tmp_path / "state.pt")
    train_step(model, optim, batch(seed=2), 2)

    resumed, resumed_optim = start()
    weights, optim_state = torch.load(tmp_path / "state.pt")
    resumed.load_state_dict(weights)
    resumed_optim.load_state_dict(optim_state)
    train_step(resumed, resumed_optim, batch(seed=2), 2)
    for key, value in model.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_the_zoos_optimiser_gives_sigma_its_own_rate_and_no_decay(zoo_config, build):
    config = zoo_config(OURS)
    model = build(config.model)
    optim = build_optim_wrapper(model, config.optim_wrapper)
    (group,) = [
        g
        for g in optim.optimizer.param_groups
        if any(p is model.uncertainty.log_variance for p in g["params"])
    ]
    assert group["weight_decay"] == 0
    assert group["lr"] == pytest.approx(10 * config.optim_wrapper.optimizer.lr)


@pytest.mark.parametrize("stem", [OURS, CASCADE])
def test_gradient_checkpointing_changes_no_gradient(stem, zoo_config, build, batch):
    results = []
    for with_cp in (False, True):
        config = zoo_config(stem).model
        config.backbone.with_cp = with_cp
        config.backbone.norm_eval = True  # MMDetection's own would count its batches twice
        config.roi_head.attention.with_cp = with_cp
        model = build(config).train()
        losses_of(model, batch())[0].backward()
        results.append(model)
    plain, checkpointed = results
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(checkpointed.get_parameter(name).grad, parameter.grad)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(checkpointed.get_buffer(name), buffer)
