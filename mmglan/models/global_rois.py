"""Global RoIs: whole images, and fractions of an image centred on a RoI (Sec. 3.2 of the paper).

B: number of images, R: number of RoIs.
RoIs are `(n, 5)`: image index, x1, y1, x2, y2 in pixels of the padded batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def whole_image_rois(image_sizes: Tensor) -> Tensor:
    """Make one RoI per image that covers it.

    Args:
        image_sizes: `(B, 2)`, height and width in pixels.

    Returns:
        `(B, 5)` RoIs.
    """
    zeros = image_sizes.new_zeros(len(image_sizes))
    index = torch.arange(len(image_sizes), device=image_sizes.device, dtype=image_sizes.dtype)
    return torch.stack([index, zeros, zeros, image_sizes[:, 1], image_sizes[:, 0]], dim=1)


def fractional_rois(rois: Tensor, image_sizes: Tensor, fraction: float) -> Tensor:
    """Make boxes of a fraction of the image, centred on each RoI and shifted into the image.

    Args:
        rois: `(R, 5)`.
        image_sizes: `(B, 2)`, height and width in pixels.
        fraction: Side of the box relative to the image, in (0, 1).

    Returns:
        `(R, 5)` RoIs of `fraction * width` by `fraction * height` pixels.
    """
    size_xy = image_sizes[rois[:, 0].long()].flip(1).to(rois.dtype)
    half = size_xy * (fraction / 2)
    centre = (rois[:, 1:3] + rois[:, 3:5]) / 2
    centre = torch.minimum(torch.maximum(centre, half), size_xy - half)
    return torch.cat([rois[:, :1], centre - half, centre + half], dim=1)


def level_of_scale(fraction: float, num_levels: int) -> int:
    """Return the pyramid level of a global scale, the same for every image size.

    The whole image is pooled from the coarsest level, and each halving of the size goes one level
    finer, so that a pooled cell covers a similar number of feature pixels at every scale.

    Args:
        fraction: Side of the global box relative to the image, in (0, 1].
        num_levels: Number of levels of the RoI extractor.

    Returns:
        Level index, 0 is the finest.
    """
    return max(0, num_levels - 1 + math.floor(math.log2(fraction) + 1e-9))
