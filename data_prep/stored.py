"""A volume as it is stored, and the choice of the reader that understands a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from data_prep.errors import DataError
from data_prep.grid import Grid


@dataclass(frozen=True, eq=False)
class Stored:
    """What a format reader returns.

    Args:
        array: Intensities ``(k, j, i)``.
        grid: Grid of the array.
        slice_uids: SOP instance UIDs of the stored slices, if the format has them.
        slice_numbers: The files' own slice numbers, if the format has them.
    """

    array: np.ndarray
    grid: Grid
    slice_uids: tuple[str, ...] = ()
    slice_numbers: tuple[int, ...] = ()


_IMAGE_IO = {
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
}


def read_stored(
    path: Path, name: str, *, series_uid: str | None = None, series_rule: str = "only"
) -> Stored:
    """Read ``path`` with the reader that its kind asks for."""
    if not path.exists():
        raise DataError("Expected a volume, but found nothing there. Correct the path.", path=name)
    for suffix, image_io in _IMAGE_IO.items():
        if path.name.lower().endswith(suffix):
            image = sitk.ReadImage(str(path), imageIO=image_io)
            grid = Grid(
                image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
            )
            grid.check(name)
            return Stored(sitk.GetArrayFromImage(image), grid)
    raise DataError("Expected a known format. Convert it.", path=name)
