"""The wrapper around detectors of the zoo and of MMDetection."""

import warnings

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.runner.checkpoint import get_state_dict, load_state_dict

from mmglan.models import UncertaintyLossWrapper

OURS = "glan_r50_fpn_160e_lesions"
PLAIN = "glan_r50_fpn_wo-uncertainty_160e_lesions"
DETECTORS = "glan_detectors_cascade-rcnn_r50_160e_lesions"
WRAPPED = {
    DETECTORS: {"rpn_cls", "rpn_box", "cls", "box"},
    OURS: {"rpn_cls", "rpn_box", "cls", "box", "mask"},
    "glan_cascade-mask-rcnn_r50_fpn_160e_lesions": {"rpn_cls", "rpn_box", "cls", "box", "mask"},
    "vfnet_r50_fpn_uncertainty_160e_lesions": {"cls", "box", "box_refine"},
}
ALSO_WRAPPABLE = {
    "mask-rcnn_r50_fpn_160e_lesions": "mask_rcnn",
    "faster-rcnn_r50_fpn_160e_lesions": "faster_rcnn",
    "cascade-mask-rcnn_r50_fpn_160e_lesions": "cascade_mask_rcnn_per_stage",
    "yolov3_d53_160e_lesions": "yolov3",
}


def wrapped(config, tasks, **settings):
    """The one-line form over a plain config."""
    config = ConfigDict(config.copy())
    config.update(type="UncertaintyLossWrapper", detector=config.type, tasks=tasks, **settings)
    return config


def losses_of(model, data):
    torch.manual_seed(0)
    return model(**model.data_preprocessor(data, True), mode="loss")


@pytest.mark.parametrize("stem", WRAPPED)
def test_every_loss_of_the_wrapped_zoo_is_claimed(stem, zoo_config, build, batch):
    model = build(zoo_config(stem).model)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="No task claims")
        losses = losses_of(model, batch((2, 1), ((96, 96), (96, 96))))
    assert {k.removeprefix("sigma_") for k in losses if k.startswith("sigma_")} == WRAPPED[stem]


@pytest.mark.parametrize("stem", ALSO_WRAPPABLE)
def test_sigma_one_keeps_the_loss_and_its_gradient(stem, zoo_config, build, batch):
    config = zoo_config(stem).model
    data = batch((2, 1), ((64, 64), (64, 64)))
    plain, model = build(config), build(wrapped(config, ALSO_WRAPPABLE[stem]))
    load_state_dict(model, plain.state_dict(), strict=True)
    total, logs = model.parse_losses(losses_of(model, data))
    plain_total, plain_logs = plain.parse_losses(losses_of(plain, data))
    torch.testing.assert_close(total, plain_total)
    for key, value in plain_logs.items():
        torch.testing.assert_close(logs[key], value)
    total.backward()
    plain_total.backward()
    for name, parameter in plain.named_parameters():
        other = model.get_parameter(name)
        assert (other.grad is None) == (parameter.grad is None)
        if other.grad is not None:
            torch.testing.assert_close(other.grad, parameter.grad)


def test_retinanet_of_mmdet(retinanet_config, build, batch):
    model = build(wrapped(retinanet_config(), "retinanet", init_log_variance=[0.5, -0.5]))
    losses = losses_of(model, batch((2, 0)))
    assert isinstance(losses["loss_cls"], list) and len(losses["loss_cls"]) == 5
    torch.testing.assert_close(sum(losses["loss_cls"]), losses["raw_cls"] * losses["weight_cls"])
    assert losses["weight_cls"].item() == pytest.approx(torch.tensor(-0.5).exp().item())
    total, _ = model.parse_losses(losses)
    expected = sum(losses[f"raw_{t}"] * losses[f"weight_{t}"] for t in ("cls", "box"))
    torch.testing.assert_close(total, expected + (0.5 - 0.5) / 2)


def hand_made(build, zoo_config, **settings):
    return build(wrapped(zoo_config("mask-rcnn_r50_fpn_160e_lesions").model, **settings))


def test_weights_by_hand_and_names_of_the_logs(zoo_config, build):
    model = hand_made(build, zoo_config, tasks={"a": "loss_a", "b": ["loss_b*"]})
    s = torch.tensor([0.4, -0.6])
    model.uncertainty.log_variance.data.copy_(s)
    raw = dict(
        loss_a=[torch.tensor(0.25), torch.tensor([0.5, 1.0])],
        loss_b1=torch.tensor(0.5),
        loss_b2=torch.tensor(1.5),
        acc=torch.tensor(90.0),
    )
    losses = model.weigh(raw)
    total, logs = model.parse_losses(losses)
    expected = 1.0 * torch.exp(-s[0]) + s[0] / 2 + 2.0 * torch.exp(-s[1]) + s[1] / 2
    torch.testing.assert_close(total, expected)
    assert logs["acc"] == 90
    assert logs["raw_a"] == 1 and logs["raw_b"] == 2
    torch.testing.assert_close(logs["sigma_a"], torch.exp(s[0] / 2))
    torch.testing.assert_close(logs["loss_b2"], 1.5 * torch.exp(-s[1]))
    # MMEngine sums whatever is named a loss: the logs are not.
    summed = sum(v for k, v in logs.items() if "loss" in k and k != "loss")
    torch.testing.assert_close(summed, total)
    assert not any(
        logs[k].requires_grad for k in logs if k.startswith(("raw_", "weight_", "sigma_"))
    )


def test_a_batch_without_positives_leaves_that_sigma_alone(zoo_config, build):
    model = hand_made(build, zoo_config, tasks={"a": "loss_a", "mask": "loss_mask"})
    logits = torch.ones(3, requires_grad=True)
    total, _ = model.parse_losses(
        model.weigh(dict(loss_a=torch.tensor(1.5), loss_mask=logits.sum() * 0))
    )
    total.backward()
    assert model.uncertainty.log_variance.grad.tolist() == [-1.5 + 0.5, 0]
    assert logits.grad.tolist() == [0, 0, 0]
    assert total.item() == 1.5


def test_an_unclaimed_loss_keeps_weight_one_and_is_named_once(zoo_config, build):
    model = hand_made(build, zoo_config, tasks={"a": "loss_a"}, init_log_variance=1.0)
    raw = dict(loss_a=torch.tensor(1.0), loss_extra=torch.tensor(3.0))
    with pytest.warns(UserWarning, match=r"No task claims the losses \['loss_extra'\]"):
        losses = model.weigh(raw)
    assert losses["loss_extra"] == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.weigh(raw)


def test_a_task_without_a_loss_is_an_error_until_it_has_been_seen(zoo_config, build):
    model = hand_made(build, zoo_config, tasks={"a": "loss_a", "b": "loss_b"})
    with pytest.raises(ValueError, match=r"a loss for each of the tasks .* but got \['b'\]"):
        model.weigh(dict(loss_a=torch.tensor(1.0)))
    model.weigh(dict(loss_a=torch.tensor(1.0), loss_b=torch.tensor(1.0)))
    total, _ = model.parse_losses(model.weigh(dict(loss_a=torch.tensor(1.0))))
    total.backward()
    assert model.uncertainty.log_variance.grad[1] == 0


def test_the_preset_of_another_detector_is_an_error(zoo_config, build, batch):
    config = wrapped(zoo_config("faster-rcnn_r50_fpn_160e_lesions").model, "mask_rcnn")
    with pytest.raises(ValueError, match=r"but got \['mask'\] without any of"):
        losses_of(build(config), batch())


@pytest.mark.parametrize("get_state", [torch.nn.Module.state_dict, get_state_dict])
@pytest.mark.parametrize("load_state", [torch.nn.Module.load_state_dict, load_state_dict])
def test_checkpoints_interchange_both_ways(get_state, load_state, zoo_config, build):
    plain = build(zoo_config(PLAIN).model, seed=1)
    model = build(zoo_config(OURS).model, seed=2)
    state = get_state(plain)
    assert set(get_state(model)) == {*state, "uncertainty.log_variance", "uncertainty.task_names"}
    load_state(model, state, strict=True)
    for key, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    load_state(plain, get_state(model), strict=False)
    for key, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    again = build(zoo_config(OURS).model, seed=3)
    load_state(again, get_state(model), strict=True)
    assert torch.equal(again.uncertainty.log_variance, torch.ones(5))


def test_nested_form_builds_the_same(zoo_config, build):
    flat = zoo_config(OURS).model
    plain = zoo_config(PLAIN).model
    nested = dict(
        type="UncertaintyLossWrapper",
        detector=plain,
        backbone=dict(init_cfg=None),
        tasks="mask_rcnn",
    )
    first, second = build(flat), build(nested)
    for (name, value), (other, wanted) in zip(
        first.state_dict().items(), second.state_dict().items(), strict=True
    ):
        assert name == other and torch.equal(value, wanted)


def test_attributes_are_the_detectors(zoo_config, build):
    model = build(zoo_config(OURS).model)
    assert isinstance(model, UncertaintyLossWrapper)
    assert model.roi_head is model.detector.roi_head
    assert model.with_mask and model.with_neck and model.with_bbox and not model.with_shared_head
    assert model.data_preprocessor is model.detector.data_preprocessor
    with pytest.raises(AttributeError):
        model.no_such_thing  # noqa: B018


def test_prediction_is_the_detectors(zoo_config, build, batch):
    model = build(zoo_config(OURS).model).eval()
    data = batch()
    with torch.no_grad():
        ours = model.test_step(data)[0].pred_instances
        plain = model.detector.test_step(batch())[0].pred_instances
    assert len(ours) > 0 and torch.equal(ours.scores, plain.scores)
