"""Findings as a label map on the grid that the scan is stored on."""

from __future__ import annotations

import numpy as np

from data_prep.volumes.itk.write_nifti import nifti_bytes
from data_prep.volumes.volume import Volume


def nifti_of(labels: np.ndarray, volume: Volume, description: str = "") -> bytes:
    """Return a compressed NIfTI file.

    Args:
        labels: Axial `(Z, Y, X)`.
        volume: The scan.
        description: For the header field `descrip`, ASCII; its first 79 characters fit.
    """
    image = volume.to_source(labels)
    if description:
        image.SetMetaData("ITK_FileNotes", description[:79])
    return nifti_bytes(image)
