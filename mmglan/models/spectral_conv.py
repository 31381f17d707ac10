"""3x3 convolution of small maps with about a quarter of the multiplications, exact up to rounding.

A `P x P` map padded with zeros, convolved 3x3, equals a cyclic convolution of period `N = P + 1`
(the one extra row and column are the padding, seen from both sides). By the convolution theorem it
is a product per frequency. A real map has conjugate-symmetric frequencies, and a complex product
takes three real ones, so that a 7x7 map needs M = 94 products where the direct form needs 441.
All steps are products with three constant matrices, hence differentiable by autograd:

    y = E [(G w) * (D x)]        D: (M, P*P)    G: (M, 9)    E: (P*P, M)

R: number of maps, C: input channels, O: output channels, P: side of a map, M: products per map.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


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


def spectral_conv3x3(maps: Tensor, weight: Tensor) -> Tensor:
    """`conv2d(maps, weight, padding=1)` for square maps.

    Args:
        maps: `(R, C, P, P)`.
        weight: `(O, C, 3, 3)`.

    Returns:
        `(R, O, P, P)`.
    """
    num_maps, channels, size = maps.shape[:3]
    out_channels = weight.shape[0]
    forward, kernel, inverse = spectral_matrices(size, maps.dtype, maps.device)
    products = len(forward)
    maps_hat = (forward @ maps.reshape(num_maps * channels, -1).T).view(
        products, num_maps, channels
    )
    weight_hat = (kernel @ weight.reshape(out_channels * channels, 9).T).view(
        products, out_channels, channels
    )
    out_hat = torch.bmm(maps_hat, weight_hat.transpose(1, 2)).view(products, -1)
    return (out_hat.T @ inverse.T).view(num_maps, out_channels, size, size)


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
        and not torch.compiler.is_compiling()
        and maps.shape[2] == maps.shape[3] <= 8
        and maps.shape[0] >= 64
    )


def _autocasts_on_cpu() -> bool:
    try:
        return torch.is_autocast_enabled("cpu")
    except TypeError:  # before torch 2.4
        return torch.is_autocast_cpu_enabled()
