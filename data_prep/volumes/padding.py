"""Voxels outside the image: padding that DICOM marks, and NaN where that is asked for."""

from __future__ import annotations

import numpy as np

from data_prep.errors import DataError
from data_prep.volumes.stored import Stored


def fill_outside(
    array: np.ndarray, stored: Stored, name: str, nan: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Bring an array to axial order and give voxels outside the image a harmless value.

    That value is the lowest inside the image on the same axial slice, so that padding neither takes
    part of the range of grey values nor looks like tissue; on slices without an image, the lowest
    of the volume.

    Args:
        array: Intensities `(k, j, i)`.
        stored: The volume as it was read.
        name: How messages call it.
        nan: `fill` takes NaN voxels as outside; `refuse` leaves them, to be refused.

    Returns:
        The axial array `(Z, Y, X)`, and a note on what was filled.

    Raises:
        DataError: If nothing of the volume is inside.
    """
    outside = stored.padding
    is_nan = np.isnan(array) if nan == "fill" and array.dtype.kind == "f" else None
    if is_nan is not None and is_nan.any():
        outside = is_nan if outside is None else outside | is_nan
    axial = stored.grid.to_axial(array)
    if outside is None or not outside.any():
        return axial, ()
    outside = stored.grid.to_axial(outside)
    if outside.all():
        raise DataError(
            "Expected an image but got padding in every voxel. Export it again.", path=name
        )
    lowest = axial[~outside].min()
    for plane, out in zip(axial, outside, strict=True):
        if out.any():
            plane[out] = lowest if out.all() else plane[~out].min()
    share = 100 * np.count_nonzero(outside) / outside.size
    what = "padding" if stored.padding is not None else "NaN"
    note = f"{name}: {share:.2g} % of the voxels are {what} and were filled with the lowest value."
    return axial, (note,)
