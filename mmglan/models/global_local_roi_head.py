"""RoI heads whose box branch sees the image around each RoI (Sec. 3.2 of the paper).

R: number of RoIs, B: number of images, C: feature channels, P: side of the RoI features.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmdet.models.roi_heads import CascadeRoIHead, HybridTaskCascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from mmdet.registry import MODELS
from mmengine.model import ModuleList
from torch import Tensor, nn

from mmglan.models.global_local_attention import GlobalLocalAttention
from mmglan.models.global_rois import fractional_rois, level_of_scale, whole_image_rois

GlobalLevel = int | str | None


class GlobalLocalMixin:
    """Gives any RoI head of MMDetection a global-local attention before its box head.

    The mask branch keeps the plain local features, also where both branches share an extractor.
    A subclass overrides `_bbox_forward` and calls `fuse_global` on the features of its RoIs.

    Args:
        attention: Options, all with defaults:

            - `global_sizes` ([1.0]): side of each global box relative to the image.
            - `global_level` (None): pyramid level of the global features. None: the coarsest for
              the whole image, one finer per halving of the size; an int: that level for all;
              'auto': MMDetection's rule by box size, which moves with the image size.
            - `global_box` ('image'): the image itself, or 'padded' for the padded batch.
            - `channels` (256), `norm_cfg` (dict(type='BN')), `in_channels` (of the extractor),
              `with_cp` (False), `initial_local_weight` (None): see `GlobalLocalAttention`.

    Raises:
        ValueError: An option is unknown or has a value out of its range.
    """

    def __init__(self, *args, attention: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        options = dict(copy.deepcopy(attention or {}))
        self._global_level: GlobalLevel = options.pop("global_level", None)
        self._global_box: str = options.pop("global_box", "image")
        if self._global_box not in ("image", "padded"):
            raise ValueError(
                f"Expected global_box to be 'image' or 'padded' but got {self._global_box!r}."
            )
        options.setdefault("norm_cfg", dict(type="BN"))
        extractors = _as_list(self.bbox_roi_extractor)
        modules = []
        for extractor in extractors:
            _check_level(self._global_level, extractor)
            modules.append(
                GlobalLocalAttention(**{"in_channels": extractor.out_channels, **options})
            )
        staged = isinstance(self.bbox_roi_extractor, nn.ModuleList)
        self.attention = ModuleList(modules) if staged else modules[0]
        self._image_sizes: list[tuple[int, int]] | None = None

    def loss(self, x, rpn_results_list, batch_data_samples, *args, **kwargs) -> dict:
        """Compute the losses as the parent does, with the image sizes of the batch at hand."""
        with _ImageSizes(self, batch_data_samples):
            return super().loss(x, rpn_results_list, batch_data_samples, *args, **kwargs)

    def predict(self, x, rpn_results_list, batch_data_samples, *args, **kwargs) -> list:
        """Predict as the parent does, with the image sizes of the batch at hand."""
        with _ImageSizes(self, batch_data_samples):
            return super().predict(x, rpn_results_list, batch_data_samples, *args, **kwargs)

    def forward(self, x, rpn_results_list, batch_data_samples=None, *args, **kwargs) -> tuple:
        """Run as the parent does, with the image sizes of the batch at hand."""
        with _ImageSizes(self, batch_data_samples):
            return super().forward(x, rpn_results_list, batch_data_samples, *args, **kwargs)

    def fuse_global(
        self,
        x: Sequence[Tensor],
        rois: Tensor,
        local: Tensor,
        extractor: BaseRoIExtractor,
        attention: GlobalLocalAttention,
    ) -> Tensor:
        """Fuse the features of the RoIs with global ones.

        Args:
            x: Feature maps of all levels.
            rois: `(R, 5)`.
            local: `(R, C, P, P)`, features of the RoIs.
            extractor: Pools the global features too.
            attention: Of this stage.

        Returns:
            `(R, C, P, P)`.
        """
        if len(rois) == 0 and not _synchronises(attention):
            # Batch statistics of nothing are not a number; the parameters still need a gradient.
            return local + sum(p.sum() for p in attention.parameters()) * 0
        sizes = self._batch_sizes(x, extractor, rois)
        global_feats = []
        for fraction in attention.global_sizes:
            boxes = (
                whole_image_rois(sizes) if fraction == 1 else fractional_rois(rois, sizes, fraction)
            )
            global_feats.append(self._pool_global(x, boxes, fraction, extractor))
        return attention(local, global_feats, rois[:, 0].long())

    def _pool_global(
        self, x: Sequence[Tensor], boxes: Tensor, fraction: float, extractor: BaseRoIExtractor
    ) -> Tensor:
        level = self._global_level
        if level == "auto":
            feats = extractor(x[: extractor.num_inputs], boxes)
        else:
            if level is None:
                level = level_of_scale(fraction, extractor.num_inputs)
            feats = extractor.roi_layers[level](x[level], boxes.type_as(x[level]))
        return self.shared_head(feats) if self.with_shared_head else feats

    def _batch_sizes(
        self, x: Sequence[Tensor], extractor: BaseRoIExtractor, rois: Tensor
    ) -> Tensor:
        """Return `(B, 2)`, height and width in pixels of what counts as the image."""
        if self._global_box == "padded":
            stride = extractor.featmap_strides[0]
            sizes = [tuple(side * stride for side in x[0].shape[-2:])] * len(x[0])
        elif self._image_sizes is not None:
            sizes = self._image_sizes
        else:
            raise ValueError(
                "Expected data samples with img_shape but got none, so the size of the images is "
                "unknown. Pass batch_data_samples, or set global_box='padded'."
            )
        return rois.new_tensor(sizes)


@MODELS.register_module()
class GlobalLocalRoIHead(GlobalLocalMixin, StandardRoIHead):
    """`StandardRoIHead` with global-local attention, see `GlobalLocalMixin`."""

    def _bbox_forward(self, x: tuple[Tensor], rois: Tensor) -> dict:
        extractor = self.bbox_roi_extractor
        local = extractor(x[: extractor.num_inputs], rois)
        if self.with_shared_head:
            local = self.shared_head(local)
        fused = self.fuse_global(x, rois, local, extractor, self.attention)
        cls_score, bbox_pred = self.bbox_head(fused)
        return dict(cls_score=cls_score, bbox_pred=bbox_pred, bbox_feats=local)


@MODELS.register_module()
class GlobalLocalCascadeRoIHead(GlobalLocalMixin, CascadeRoIHead):
    """`CascadeRoIHead` with one global-local attention per stage."""

    def _bbox_forward(self, stage: int, x: tuple[Tensor], rois: Tensor) -> dict:
        extractor = self.bbox_roi_extractor[stage]
        local = extractor(x[: extractor.num_inputs], rois)
        fused = self.fuse_global(x, rois, local, extractor, self.attention[stage])
        cls_score, bbox_pred = self.bbox_head[stage](fused)
        return dict(cls_score=cls_score, bbox_pred=bbox_pred, bbox_feats=local)


@MODELS.register_module()
class GlobalLocalHTCRoIHead(GlobalLocalMixin, HybridTaskCascadeRoIHead):
    """`HybridTaskCascadeRoIHead` with one global-local attention per stage.

    Semantic features, where the head has them, are added to the local ones before the attention.
    """

    def _bbox_forward(
        self, stage: int, x: tuple[Tensor], rois: Tensor, semantic_feat: Tensor | None = None
    ) -> dict:
        extractor = self.bbox_roi_extractor[stage]
        local = extractor(x[: extractor.num_inputs], rois)
        if self.with_semantic and "bbox" in self.semantic_fusion:
            semantic = self.semantic_roi_extractor([semantic_feat], rois)
            local = local + nn.functional.adaptive_avg_pool2d(semantic, local.shape[-2:])
        fused = self.fuse_global(x, rois, local, extractor, self.attention[stage])
        cls_score, bbox_pred = self.bbox_head[stage](fused)
        return dict(cls_score=cls_score, bbox_pred=bbox_pred)


class _ImageSizes:
    """Holds the `(height, width)` of a batch's images in a head for the length of one call."""

    def __init__(self, head: GlobalLocalMixin, batch_data_samples: Sequence | None) -> None:
        self.head = head
        self.sizes = None
        if batch_data_samples is not None:
            self.sizes = [tuple(sample.img_shape[:2]) for sample in batch_data_samples]

    def __enter__(self) -> None:
        self.head._image_sizes = self.sizes

    def __exit__(self, *exc) -> None:
        self.head._image_sizes = None


def _as_list(extractor: nn.Module) -> list[nn.Module]:
    return list(extractor) if isinstance(extractor, nn.ModuleList) else [extractor]


def _check_level(level: GlobalLevel, extractor: BaseRoIExtractor) -> None:
    valid = range(extractor.num_inputs)
    if level is None or level == "auto" or (isinstance(level, int) and level in valid):
        return
    raise ValueError(
        f"Expected global_level to be None, 'auto' or an int from 0 to {valid[-1]} "
        f"but got {level!r}."
    )


def _synchronises(attention: nn.Module) -> bool:
    """Whether a process must take part in the norm even with no RoI of its own."""
    sync = any(isinstance(module, torch.nn.SyncBatchNorm) for module in attention.modules())
    return sync and attention.training
