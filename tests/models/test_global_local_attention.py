"""The attention against its plain form, and by hand."""

import pytest
import torch

from mmglan.models import GlobalLocalAttention

SIZES = [[1.0], [0.25], [1.0, 0.1], [0.1, 1.0, 0.5], [0.5, 0.25]]
NORMS = [dict(type="BN"), dict(type="GN", num_groups=4), None]
DTYPES = {"float32": (torch.float32, 1e-5), "float64": (torch.float64, 1e-11)}


def make(sizes, norm_cfg, channels=16, in_channels=8, **kwargs):
    attention = GlobalLocalAttention(sizes, in_channels, channels, norm_cfg=norm_cfg, **kwargs)
    attention.init_weights()
    torch.nn.init.normal_(attention.conv2.weight, std=0.2)  # weights well away from equal
    torch.nn.init.normal_(attention.conv2.bias)
    return attention


def features(sizes, num_rois, in_channels=8, num_images=3, requires_grad=True, dtype=None):
    image_index = torch.randint(num_images, (num_rois,))
    counts = [num_images if size == 1 else num_rois for size in sizes]
    local, *global_feats = (
        torch.randn(count, in_channels, 7, 7, dtype=dtype, requires_grad=requires_grad)
        for count in [num_rois, *counts]
    )
    return local, global_feats, image_index


def assert_close(actual, expected, tolerance=1e-5):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max().item() <= tolerance


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm_cfg", NORMS, ids=["BN", "GN", "bias"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_equals_plain_form_forward_and_backward(sizes, norm_cfg, dtype, plain_attention):
    dtype, tolerance = DTYPES[dtype]
    attention = make(sizes, norm_cfg).to(dtype)
    local, global_feats, index = features(sizes, 9, dtype=dtype)
    inputs = [local, *global_feats, *attention.parameters()]
    grad = torch.randn_like(local) / len(local)  # losses are means over the RoIs
    expected, expected_weights = plain_attention(attention, local, global_feats, index)
    expected_grads = torch.autograd.grad(expected, inputs, grad)
    fused = attention(local, global_feats, index)
    grads = torch.autograd.grad(fused, inputs, grad)
    assert_close(fused, expected, tolerance)
    weights = attention.scale_weights(local, global_feats, index)
    assert_close(weights, expected_weights, tolerance)
    for actual, wanted in zip(grads, expected_grads, strict=True):
        assert_close(actual, wanted, tolerance)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_equals_plain_form_in_prediction(sizes, plain_attention):
    attention = make(sizes, dict(type="BN"))
    attention.norm.running_mean.normal_()
    attention.norm.running_var.uniform_(0.5, 2)
    torch.nn.init.normal_(attention.norm.weight)
    torch.nn.init.normal_(attention.norm.bias)
    attention.eval()
    with torch.no_grad():
        local, global_feats, index = features(sizes, 9, requires_grad=False)
        expected, _ = plain_attention(attention, local, global_feats, index)
        assert_close(attention(local, global_feats, index), expected)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_weights_sum_to_one_at_each_position(sizes):
    weights = make(sizes, dict(type="BN")).scale_weights(*features(sizes, 70))
    assert weights.shape == (70, 1 + len(sizes), 7, 7)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(70, 7, 7))
    assert (weights > 0).all() and weights.std() > 0.05


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("scale", [0, 1])
def test_forced_weights_give_that_scale_bit_for_bit(sizes, scale):
    attention = make(sizes, dict(type="BN"))
    with torch.no_grad():
        attention.conv2.weight.zero_()
        attention.conv2.bias.fill_(-1e4)
        attention.conv2.bias[scale] = 1e4
    local, global_feats, index = features(sizes, 70)
    wanted = local if scale == 0 else global_feats[0]
    if scale == 1 and sizes[0] == 1:
        wanted = wanted[index]
    assert torch.equal(attention(local, global_feats, index), wanted)


def test_hand_computed_one_channel():
    """Eq. 1-2 on one pixel, where only the centre taps act.

    l = 2, g = -1. Hidden: 3 l + 1 g = 5, ReLU 5. Logits: 0.2 * 5 = 1 and 0. The local weight is
    e / (e + 1); h = 2 w - (1 - w) = 3 w - 1.
    """
    attention = GlobalLocalAttention([1.0], 1, 1, norm_cfg=None)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.zero_()
        attention.conv1.weight[0, :, 1, 1] = torch.tensor([3.0, 1.0])
        attention.conv2.weight[0, 0, 1, 1] = 0.2
    local, whole = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), -1.0)
    index = torch.zeros(1, dtype=torch.long)
    weight = torch.e / (torch.e + 1)
    weights = attention.scale_weights(local, [whole], index)
    torch.testing.assert_close(weights.flatten(), torch.tensor([weight, 1 - weight]))
    fused = attention(local, [whole], index)
    assert fused.item() == pytest.approx(3 * weight - 1, abs=1e-6)


def test_parameters_are_those_of_the_plain_form():
    attention = GlobalLocalAttention([1.0, 0.1], 8, 16, norm_cfg=dict(type="BN"))
    shapes = {name: tuple(p.shape) for name, p in attention.named_parameters()}
    assert shapes == {
        "conv1.weight": (16, 24, 3, 3),
        "norm.weight": (16,),
        "norm.bias": (16,),
        "conv2.weight": (3, 16, 3, 3),
        "conv2.bias": (3,),
    }


def test_starts_from_nearly_equal_weights():
    attention = GlobalLocalAttention([1.0], 8, 256, norm_cfg=dict(type="BN"))
    attention.init_weights()
    weights = attention.scale_weights(*features([1.0], 6))
    assert 0 < (weights - 0.5).abs().max() < 0.05


def test_checkpointing_gives_the_same_gradients_and_running_statistics():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(1)
        attention = make([1.0, 0.1], dict(type="BN"), with_cp=with_cp)
        local, global_feats, index = features([1.0, 0.1], 70)
        attention(local, global_feats, index).square().sum().backward()
        grads = [t.grad for t in [local, *global_feats, *attention.parameters()]]
        results.append(grads + [attention.norm.running_mean, attention.norm.running_var])
    for plain, checkpointed in zip(*results, strict=True):
        torch.testing.assert_close(checkpointed, plain)


def test_autocast_stays_close_and_keeps_the_type_of_the_features():
    attention = make([1.0], dict(type="BN"))
    local, global_feats, index = features([1.0], 70)
    expected = attention(local, global_feats, index)
    with torch.autocast("cpu", torch.bfloat16):
        fused = attention(local.bfloat16(), [global_feats[0].bfloat16()], index)
        weights = attention.scale_weights(local, global_feats, index)
    assert fused.dtype == torch.bfloat16 and weights.dtype == torch.float32
    assert (fused - expected).abs().max() < 0.1
    fused.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in attention.parameters())


def test_compiles_without_graph_breaks():
    attention = make([1.0, 0.1], dict(type="BN")).eval()
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    for num_rois in (70, 90):
        inputs = features([1.0, 0.1], num_rois)
        assert_close(compiled(*inputs), attention(*inputs))


@pytest.mark.parametrize("sizes", [[], [0.0], [1.5], [1.0, -0.1]])
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match=r"Expected global_sizes .* but got"):
        GlobalLocalAttention(sizes)


@pytest.mark.parametrize("sizes", [[1.0], [1.0, 0.1]], ids=str)
def test_initial_local_weight(sizes):
    attention = GlobalLocalAttention(sizes, 8, 16, norm_cfg=None, initial_local_weight=0.9)
    attention.init_weights()
    local, global_feats, index = features(sizes, 5)
    weights = attention.scale_weights(local, global_feats, index)
    assert_close(weights[:, 0], torch.full((5, 7, 7), 0.9), 0.01)
    assert_close(weights[:, 1:], torch.full((5, len(sizes), 7, 7), 0.1 / len(sizes)), 0.01)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_initial_local_weight_out_of_range(weight):
    with pytest.raises(ValueError, match="initial_local_weight above 0 and below 1 but got"):
        GlobalLocalAttention([1.0], initial_local_weight=weight)
