"""Global-local attention (Sec. 3.2, Eq. 1-2 of the paper), computed once per image where it can be.

R: number of RoIs, B: number of images, S: number of scales (the local one and the global ones),
C: feature channels, H: hidden channels, P: side of the RoI features (7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule, kaiming_init, normal_init
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class GlobalLocalAttention(BaseModule):
    """Weigh the local features of each RoI against global ones, per position.

    The function is the paper's: concatenate all scales, 3x3 convolution, norm, ReLU, 3x3
    convolution to S channels, softmax over the scales; the output is the weighted sum of the
    scales with weights shared by all channels. The first convolution is linear in its inputs and a
    whole-image feature is the same for every RoI of an image, so that part is convolved once per
    image and added. The parameters are those of the plain form: the order of the input channels of
    `conv1` is local, then `global_sizes` as given.

    Args:
        global_sizes: Side of each global box relative to the image, in (0, 1]; 1 is the image.
        in_channels: C.
        channels: H.
        norm_cfg: Norm after the first convolution; None for a bias instead.
        with_cp: Recompute the attention in the backward pass to save memory.
        initial_local_weight: Weight of the local scale before any training, above 0 and below 1;
            the other scales share the rest. None: all scales weigh the same. A box head that was
            trained without attention starts from what it knows with a weight near 1.
        init_cfg: As in MMEngine.

    Raises:
        ValueError: `global_sizes` is empty or holds a value outside (0, 1], or the initial weight
            is not between 0 and 1.
    """

    def __init__(
        self,
        global_sizes: Sequence[float] = (1.0,),
        in_channels: int = 256,
        channels: int = 256,
        norm_cfg: dict | None = None,
        with_cp: bool = False,
        initial_local_weight: float | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.global_sizes = check_global_sizes(global_sizes)
        self.in_channels = in_channels
        self.with_cp = with_cp
        if initial_local_weight is not None and not 0 < initial_local_weight < 1:
            raise ValueError(
                "Expected initial_local_weight above 0 and below 1 but got "
                f"{initial_local_weight}. Leave it out for equal weights."
            )
        self.initial_local_weight = initial_local_weight
        scales = 1 + len(self.global_sizes)
        self.conv1 = nn.Conv2d(scales * in_channels, channels, 3, padding=1, bias=norm_cfg is None)
        self.norm = build_norm_layer(norm_cfg, channels)[1] if norm_cfg else nn.Identity()
        self.conv2 = nn.Conv2d(channels, scales, 3, padding=1)

    def init_weights(self) -> None:
        """Initialise as He et al.; the weights hardly depend on the features at first."""
        kaiming_init(self.conv1)
        normal_init(self.conv2, std=0.001)
        if self.initial_local_weight is not None:
            odds = self.initial_local_weight / (1 - self.initial_local_weight)
            self.conv2.bias.data[0] = math.log(odds * len(self.global_sizes))
        super().init_weights()

    def forward(self, local: Tensor, global_feats: Sequence[Tensor], image_index: Tensor) -> Tensor:
        """Fuse the scales (Eq. 2).

        Args:
            local: `(R, C, P, P)`, features of the RoIs.
            global_feats: One per global size: `(B, C, P, P)` for the whole image, `(R, C, P, P)`
                for a fraction.
            image_index: `(R,)` long, image of each RoI.

        Returns:
            `(R, C, P, P)` in the type of `local`.
        """
        weights = self.scale_weights(local, global_feats, image_index)
        return self._fused(weights, local, global_feats, image_index)

    def _fused(
        self, weights: Tensor, local: Tensor, global_feats: Sequence[Tensor], image_index: Tensor
    ) -> Tensor:
        weights = weights.to(local.dtype)
        per_roi = [
            feats[image_index] if size == 1 else feats
            for size, feats in zip(self.global_sizes, global_feats, strict=True)
        ]
        if len(per_roi) == 1:
            # Exact for weights of 0 and 1, and one pass over the features instead of three.
            return torch.lerp(per_roi[0], local, weights[:, :1])
        fused = weights[:, :1] * local
        for scale, feats in enumerate(per_roi, start=1):
            fused = fused + weights[:, scale : scale + 1] * feats
        return fused

    def scale_weights(
        self, local: Tensor, global_feats: Sequence[Tensor], image_index: Tensor
    ) -> Tensor:
        """Compute the weights of the scales (Eq. 1), arguments as in `forward`.

        Returns:
            `(R, S, P, P)`, float32 or wider, summing to 1 over S.
        """
        if self.with_cp and self.training and torch.is_grad_enabled():
            return checkpoint(
                self._scale_weights,
                local,
                global_feats,
                image_index,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), running_stats_kept(self.norm)),
            )
        return self._scale_weights(local, global_feats, image_index)

    def _scale_weights(
        self, local: Tensor, global_feats: Sequence[Tensor], image_index: Tensor
    ) -> Tensor:
        local_kernel, *global_kernels = self.conv1.weight.split(self.in_channels, dim=1)
        hidden = F.conv2d(local, local_kernel, self.conv1.bias, padding=1)
        scales = zip(self.global_sizes, global_feats, global_kernels, strict=True)
        for size, feats, kernel in scales:
            part = F.conv2d(feats, kernel, padding=1)
            hidden = hidden + (part[image_index] if size == 1 else part)
        hidden = F.relu(self.norm(hidden), inplace=True)
        logits = self.conv2(hidden)
        return logits.softmax(dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))


def check_global_sizes(global_sizes: Sequence[float]) -> tuple[float, ...]:
    """Check the sizes and return them as floats.

    Raises:
        ValueError: None given, or one outside (0, 1].
    """
    sizes = tuple(float(size) for size in global_sizes)
    if not sizes or not all(0 < size <= 1 for size in sizes):
        raise ValueError(
            "Expected global_sizes to be a non-empty list of fractions of the image in (0, 1] "
            f"but got {list(global_sizes)}. Use [1.0] for the whole image."
        )
    return sizes


@contextmanager
def running_stats_kept(norm: nn.Module):
    """Keep the running statistics: a recomputation must not count a batch twice."""
    if getattr(norm, "num_batches_tracked", None) is None:
        yield
        return
    momentum, count = norm.momentum, norm.num_batches_tracked.clone()
    norm.momentum = 0.0
    try:
        yield
    finally:
        norm.momentum = momentum
        norm.num_batches_tracked.copy_(count)
