"""Findings as a label map on the grid that the scan is stored on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from data_prep.volumes.volume import Volume


def nifti_of(labels: np.ndarray, volume: Volume) -> bytes:
    """Return a compressed NIfTI file.

    Args:
        labels: Axial `(Z, Y, X)`.
        volume: The scan.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.nii.gz"  # SimpleITK writes files only
        sitk.WriteImage(volume.to_source(labels), str(path), useCompression=True)
        return path.read_bytes()
