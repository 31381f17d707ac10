"""Where a point of an earlier scan lies in a later scan of the same patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from data_prep.errors import DataError
from data_prep.volumes.volume import Volume

_SHRINK, _SMOOTH_MM = (4, 2, 1), (4.0, 2.0, 0.0)
_SAMPLED_SHARE, _SEED = 0.2, 1


@dataclass(frozen=True, eq=False)
class RigidMotion:
    """A turn and a shift of mm (LPS) of the earlier scan to mm of the later one.

    Attributes:
        matrix: `(3, 3)` rotation.
        shift: `(3,)` mm: a point p goes to `matrix @ p + shift`.
        how: `same frame of reference`, `rigid registration` or `none`.
    """

    matrix: np.ndarray
    shift: np.ndarray
    how: str

    @classmethod
    def none(cls, how: str = "none") -> RigidMotion:
        """Return the motion that leaves points where they are."""
        return cls(np.eye(3), np.zeros(3), how)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Map points `(N, 3)` in mm."""
        return np.asarray(points, float) @ self.matrix.T + self.shift

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation."""
        cosine = (np.trace(self.matrix) - 1) / 2
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def register(earlier: Volume, later: Volume) -> RigidMotion:
    """Register two scans rigidly by mutual information, from coarse to fine.

    The result is the same in each run: samples are drawn with a fixed seed, on one thread.

    Raises:
        DataError: The scans have no image content in common.
    """
    fixed, moving = (
        sitk.Cast(volume.to_source(volume.array), sitk.sitkFloat32) for volume in (earlier, later)
    )
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(_SAMPLED_SHARE, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, 200, 0.5)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(_levels(fixed))
    method.SetSmoothingSigmasPerLevel(_SMOOTH_MM)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    start = sitk.CenteredTransformInitializer(
        fixed,
        moving,
        sitk.Euler3DTransform(),
        sitk.CenteredTransformInitializerFilter.MOMENTS,
    )
    method.SetInitialTransform(start, inPlace=False)
    try:
        found = method.Execute(fixed, moving)
    except RuntimeError:
        raise DataError(
            "Expected two scans of one region of the body but found no overlap. Name scans of the"
            " same region, or use --registration none.",
            path=later.source_id,
        ) from None
    shift = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(found.TransformPoint(tuple(axis))) - shift for axis in np.eye(3)]
    # The last digits depend on the order in which threads add up.
    matrix = np.round(np.stack(columns, axis=1), 6)
    return RigidMotion(matrix, np.round(shift, 4), "rigid registration")


def _levels(image: sitk.Image) -> list[int]:
    """Return the factors by which an image is made smaller, none below 16 voxels a side."""
    return [max(1, min(factor, min(image.GetSize()) // 16)) for factor in _SHRINK]
