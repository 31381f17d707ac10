"""Write images as compressed NIfTI files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import SimpleITK as sitk

from data_prep.atomic_files import write_bytes


def nifti_bytes(image: sitk.Image) -> bytes:
    """Return the compressed NIfTI file of an image; SimpleITK writes to names only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nii.gz"
        sitk.WriteImage(image, str(path), useCompression=True)
        return path.read_bytes()


def write_nifti(path: Path, image: sitk.Image) -> None:
    """Write a file whole or not at all; one that holds the same already keeps its time.

    Args:
        path: File that ends in `.nii.gz`; missing folders are made.
        image: Voxels and geometry.
    """
    content = nifti_bytes(image)
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)
