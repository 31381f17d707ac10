"""Random changes of a training slice that a scanner or another patient could have made.

H, W: height and width of the slice. N: number of lesions.
"""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

GREY_MAX = 255.0
_TRIES = 5


@TRANSFORMS.register_module()
class RandomLesionAffine(BaseTransform):
    """Rotate, scale and shift a slice with its masks; boxes are those of the moved masks.

    Bookmarks are set where a lesion is largest, so that the small ends of lesions, which are on
    other slices, are not seen in training: a range of scales that reaches well below 1 makes up
    for that. A lesion that loses more than half of its area to the border is left out; where no
    lesion would be left, other numbers are drawn, five times at most, then nothing is changed.

    Args:
        max_rotate: Degrees, in either direction.
        scale_range: Limits of the factor; it is drawn evenly on a logarithmic scale.
        max_shift: Share of width and height, in either direction.
        prob: Share of slices that are changed.

    Raises:
        ValueError: At the first slice, if the annotations have no masks (boxes alone would become
            too large when turned).
    """

    def __init__(
        self,
        max_rotate: float = 15.0,
        scale_range: tuple[float, float] = (0.7, 1.3),
        max_shift: float = 0.1,
        prob: float = 1.0,
    ) -> None:
        if not 0 < scale_range[0] <= scale_range[1]:
            raise ValueError(f"Expected scale_range above 0 and rising but got {scale_range}.")
        self.max_rotate = max_rotate
        self.scale_range = scale_range
        self.max_shift = max_shift
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Change `img`, `gt_masks`, `gt_bboxes`, and drop rows of what was lost."""
        if np.random.random() >= self.prob:
            return results
        if "gt_masks" not in results:
            raise ValueError(
                "RandomLesionAffine: Expected annotations with masks but got none. Set "
                "with_mask=True in LoadAnnotations."
            )
        height, width = results["img"].shape[:2]
        masks = results["gt_masks"].to_ndarray()
        for _ in range(_TRIES):
            matrix = self._matrix(height, width)
            moved = np.zeros_like(masks)
            for row, mask in enumerate(masks):
                moved[row] = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_NEAREST)
            area = masks.sum(axis=(1, 2)) * abs(np.linalg.det(matrix[:, :2]))
            kept = moved.sum(axis=(1, 2)) > np.maximum(area / 2, 1)
            if kept.any() or not len(masks):
                break
        else:
            return results
        results["img"] = cv2.warpAffine(results["img"], matrix, (width, height))
        masks = BitmapMasks(moved[kept], height, width)
        results["gt_masks"] = masks
        results["gt_bboxes"] = masks.get_bboxes(HorizontalBoxes)
        for key in ("gt_bboxes_labels", "gt_ignore_flags"):
            if key in results:
                results[key] = results[key][kept]
        return results

    def _matrix(self, height: int, width: int) -> np.ndarray:
        """`(2, 3)` affine matrix about the centre of the slice."""
        angle = np.random.uniform(-self.max_rotate, self.max_rotate)
        scale = np.exp(np.random.uniform(*np.log(self.scale_range)))
        shift = np.random.uniform(-self.max_shift, self.max_shift, 2) * (width, height)
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
        matrix[:, 2] += shift
        return matrix

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(max_rotate={self.max_rotate}, scale_range={self.scale_range}, "
            f"max_shift={self.max_shift}, prob={self.prob})"
        )


@TRANSFORMS.register_module()
class RandomIntensity(BaseTransform):
    """Change the grey values as coils, sequences and noise do: gamma, bias field, Rician noise.

    Args:
        gamma: The exponent lies between 1 / (1 + gamma) and 1 + gamma.
        bias: Largest deviation of the multiplicative bias field from 1; it is smooth, drawn on
            4 x 4 points.
        noise: Largest standard deviation of the noise in either channel, as a share of 255.
        prob: Share of slices that are changed.
    """

    def __init__(
        self, gamma: float = 0.3, bias: float = 0.2, noise: float = 0.02, prob: float = 1.0
    ) -> None:
        if min(gamma, bias, noise) < 0 or bias >= 1:
            raise ValueError(
                "Expected gamma and noise of 0 or more and bias from 0 to below 1 but got "
                f"{gamma}, {noise} and {bias}."
            )
        self.gamma, self.bias, self.noise, self.prob = gamma, bias, noise, prob

    def transform(self, results: dict) -> dict:
        """Change `img`, float32 `(H, W, C)` in [0, 255]; all channels get the same field."""
        if np.random.random() >= self.prob:
            return results
        img = np.clip(results["img"].astype(np.float32) / GREY_MAX, 0, 1)
        exponent = np.exp(np.random.uniform(-1, 1) * np.log1p(self.gamma))
        field = 1 + np.random.uniform(-self.bias, self.bias, (4, 4)).astype(np.float32)
        field = cv2.resize(field, img.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        img = img**exponent * field[..., None]
        deviation = np.random.uniform(0, self.noise)
        real, imaginary = np.random.normal(0, deviation, (2, *img.shape[:2], 1))
        img = np.hypot(img + real, imaginary)
        results["img"] = (np.clip(img, 0, 1) * GREY_MAX).astype(np.float32)
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(gamma={self.gamma}, bias={self.bias}, noise={self.noise}, "
            f"prob={self.prob})"
        )
