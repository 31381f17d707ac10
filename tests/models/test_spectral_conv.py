"""The spectral form of a 3x3 convolution against the direct one."""

import importlib
import importlib.util

import pytest
import torch
import torch.nn.functional as F

from mmglan.models import spectral_conv
from mmglan.models.spectral_conv import prefers_spectral, spectral_conv3x3, spectral_matrices


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8])
def test_equals_direct_convolution_forward_and_backward(size):
    maps = torch.randn(5, 3, size, size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(5, 4, size, size, dtype=torch.float64)
    expected = F.conv2d(maps, weight, padding=1)
    expected_grads = torch.autograd.grad(expected, (maps, weight), grad)
    result = spectral_conv3x3(maps, weight)
    grads = torch.autograd.grad(result, (maps, weight), grad)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    for actual, wanted in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=0, atol=1e-12)


def test_float32_is_as_accurate_as_the_direct_form():
    maps, weight = torch.randn(8, 256, 7, 7), torch.randn(32, 256, 3, 3)
    exact = F.conv2d(maps.double(), weight.double(), padding=1)
    error = (spectral_conv3x3(maps, weight) - exact).abs().max()
    direct_error = (F.conv2d(maps, weight, padding=1) - exact).abs().max()
    assert error < 1e-6 * exact.abs().max()
    assert error < 4 * direct_error


def test_hand_computed():
    """The centre tap copies, its right neighbour shifts left and brings a zero in."""
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    copy, shift = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    copy[..., 1, 1], shift[..., 1, 2] = 1, 1
    torch.testing.assert_close(spectral_conv3x3(maps, copy), maps)
    torch.testing.assert_close(
        spectral_conv3x3(maps, shift), torch.tensor([[[[2.0, 0.0], [4.0, 0.0]]]])
    )


def test_a_7x7_map_takes_94_products():
    shapes = [m.shape for m in spectral_matrices(7, torch.float32, torch.device("cpu"))]
    assert shapes == [(94, 49), (94, 9), (49, 94)]


def test_no_maps():
    maps = torch.zeros(0, 3, 7, 7, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, requires_grad=True)
    result = spectral_conv3x3(maps, weight)
    result.sum().backward()
    assert result.shape == (0, 2, 7, 7)
    assert weight.grad.abs().max() == 0


def test_is_chosen_for_many_float_maps_on_a_cpu():
    assert prefers_spectral(torch.zeros(64, 1, 7, 7))
    assert not prefers_spectral(torch.zeros(63, 1, 7, 7))
    assert not prefers_spectral(torch.zeros(64, 1, 7, 7, dtype=torch.bfloat16))
    assert not prefers_spectral(torch.zeros(64, 1, 14, 14))
    assert not prefers_spectral(torch.zeros(64, 1, 7, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert not prefers_spectral(torch.zeros(64, 1, 7, 7))


def test_choice_works_before_torch_2_2(monkeypatch):
    """PyTorch 2.0 and 2.1 have `is_compiling` in another place."""
    importlib.import_module("torch._dynamo")  # which itself needs what is taken away next
    monkeypatch.delattr(torch.compiler, "is_compiling")
    spec = importlib.util.spec_from_file_location("spectral_conv_anew", spectral_conv.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    assert module.is_compiling is importlib.import_module("torch._dynamo").is_compiling
    assert module.prefers_spectral(torch.zeros(64, 1, 7, 7))
