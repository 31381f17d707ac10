"""3x3 convolution of small maps with about a quarter of the multiplications, exact up to rounding.

A `P x P` map padded with zeros, convolved 3x3, equals a cyclic convolution of period `N = P + 1`
(the one extra row and column are the padding, seen from both sides). By the convolution theorem it
is a product per frequency. A real map has conjugate-symmetric frequencies, and a complex product
takes three real ones, so that a 7x7 map needs M = 94 products where the direct form needs 441.
All steps are products with three constant matrices:

    y = E [(G w) * (D x)]        D: (M, P*P)    G: (M, 9)    E: (P*P, M)

R: number of maps, C: input channels, O: output channels, P: side of a map, M: products per map.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

try:
    from torch.compiler import is_compiling
except ImportError:  # before torch 2.2
    from torch._dynamo import is_compiling

CHUNK = 128


@lru_cache(maxsize=16)
def spectral_matrices(
    size: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The constant matrices D, G and E for maps of `size x size` pixels.

    Args:
        size: P, side of the map in pixels.
        dtype: Type of the result; the matrices are computed in float64.
        device: Device of the result.

    Returns:
        D `(M, P*P)`, G `(M, 9)`, E `(P*P, M)`.
    """
    period = size + 1
    index = torch.arange(period, dtype=torch.float64)
    taps = [((1 - k) % period, (1 - j) % period) for k in range(3) for j in range(3)]
    forward, kernel, inverse = [], [], []
    for u in range(period):
        for v in range(period):
            mirror = ((-u) % period, (-v) % period)
            if mirror < (u, v):
                continue  # the conjugate of a frequency that is already there
            angle = 2 * math.pi * (u * index[:, None] + v * index[None]) / period
            cos, sin = angle.cos(), angle.sin()
            x_real, x_imag = cos[:size, :size].flatten(), -sin[:size, :size].flatten()
            w_real = torch.stack([cos[tap] for tap in taps])
            w_imag = -torch.stack([sin[tap] for tap in taps])
            scale = (1 if mirror == (u, v) else 2) / period**2
            y_cos, y_sin = scale * x_real, -scale * x_imag
            if mirror == (u, v):
                forward.append(x_real)
                kernel.append(w_real)
                inverse.append(y_cos)
            else:  # (a + ib)(c + id) from (a + b)c, a(d - c) and b(c + d)
                forward += [x_real + x_imag, x_real, x_imag]
                kernel += [w_real, w_imag - w_real, w_real + w_imag]
                inverse += [y_cos - y_sin, -y_sin, -y_cos]
    matrices = torch.stack(forward), torch.stack(kernel), torch.stack(inverse, dim=1)
    return tuple(matrix.to(device=device, dtype=dtype) for matrix in matrices)


def spectral_conv3x3(maps: Tensor, weight: Tensor, weight_hat: Tensor | None = None) -> Tensor:
    """`conv2d(maps, weight, padding=1)` for square maps.

    Args:
        maps: `(R, C, P, P)`.
        weight: `(O, C, 3, 3)`.
        weight_hat: `(M, O, C)` of `weight_frequencies`, if it is at hand; it carries no gradient.

    Returns:
        `(R, O, P, P)`.
    """
    if weight_hat is None:
        weight_hat = weight_frequencies(weight.detach(), maps.shape[2])
    return _SpectralConv.apply(maps.contiguous(), weight, weight_hat)


def weight_frequencies(weight: Tensor, size: int) -> Tensor:
    """`(M, O, C)`, the weights `(O, C, 3, 3)` at the frequencies of `size x size` maps."""
    kernel = spectral_matrices(size, weight.dtype, weight.device)[1]
    out_channels, channels = weight.shape[:2]
    taps = weight.reshape(out_channels * channels, 9).T
    return (kernel @ taps).view(len(kernel), out_channels, channels)


class _SpectralConv(torch.autograd.Function):
    """Goes through the maps in chunks, with buffers that stay in the cache and are used again.

    Whole batches would need buffers of 100 MB, whose pages the system hands out and takes back at
    each step; that costs as much as the products. The backward pass transforms the maps again
    instead of keeping their frequencies.
    """

    @staticmethod
    def forward(ctx, maps: Tensor, weight: Tensor, weight_hat: Tensor) -> Tensor:
        ctx.save_for_backward(maps, weight)
        forward, _, inverse = spectral_matrices(maps.shape[2], maps.dtype, maps.device)
        result = maps.new_empty(len(maps), len(weight), *maps.shape[2:])
        for part, out in zip(maps.split(CHUNK), result.split(CHUNK), strict=True):
            part_hat = _transformed(part, forward)
            out_hat = torch.bmm(part_hat, weight_hat.transpose(1, 2))
            torch.mm(out_hat.flatten(1).T, inverse.T, out=out.view(-1, inverse.shape[0]))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        maps, weight = ctx.saved_tensors
        forward, kernel, inverse = spectral_matrices(maps.shape[2], maps.dtype, maps.device)
        maps_grad = torch.empty_like(maps) if ctx.needs_input_grad[0] else None
        weight_hat = weight_frequencies(weight, maps.shape[2])
        weight_hat_grad = torch.zeros_like(weight_hat)
        grad = grad.contiguous()
        for start in range(0, len(maps), CHUNK):
            rows = slice(start, start + CHUNK)
            grad_hat = _transformed(grad[rows], inverse.T)
            if maps_grad is not None:
                part_hat_grad = torch.bmm(grad_hat, weight_hat)
                out = maps_grad[rows].view(-1, forward.shape[1])
                torch.mm(part_hat_grad.flatten(1).T, forward, out=out)
            if ctx.needs_input_grad[1]:
                part_hat = _transformed(maps[rows], forward)
                torch.baddbmm(
                    weight_hat_grad, grad_hat.transpose(1, 2), part_hat, out=weight_hat_grad
                )
        weight_grad = (kernel.T @ weight_hat_grad.flatten(1)).T.reshape(weight.shape)
        return maps_grad, weight_grad if ctx.needs_input_grad[1] else None, None


def _transformed(maps: Tensor, matrix: Tensor) -> Tensor:
    """`(R, C, P, P)` by `(M, P*P)` gives `(M, R, C)`."""
    num_maps, channels = maps.shape[:2]
    product = matrix @ maps.reshape(num_maps * channels, matrix.shape[1]).T
    return product.view(len(matrix), num_maps, channels)


def prefers_spectral(maps: Tensor) -> bool:
    """Whether `spectral_conv3x3` is the faster form: many small float maps on a CPU.

    Other devices and low precision have faster direct convolutions, and a compiler fuses those.

    Args:
        maps: `(R, C, P, P)`.
    """
    return (
        maps.device.type == "cpu"
        and maps.dtype in (torch.float32, torch.float64)
        and not _autocasts_on_cpu()
        and not is_compiling()
        and maps.shape[2] == maps.shape[3] <= 8
        and maps.shape[0] >= 64
    )


def _autocasts_on_cpu() -> bool:
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # before torch 2.4
        return torch.is_autocast_cpu_enabled()
