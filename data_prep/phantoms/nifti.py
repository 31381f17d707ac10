"""Write phantoms as NIfTI files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from data_prep.volumes.itk import write_nifti as nifti_files


def write_nifti(path: Path, array: np.ndarray, spacing_mm: Sequence[float] = (1, 1, 1)) -> None:
    """Write a compressed volume whole or not at all.

    Args:
        path: File that ends in `.nii.gz`; missing folders are made.
        array: `(Z, Y, X)`.
        spacing_mm: Voxel size (x, y, z) in mm.
    """
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(size) for size in spacing_mm])
    nifti_files.write_nifti(path, image)
