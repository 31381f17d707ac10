"""Notes for outputs that may be given away name no patient."""

import numpy as np
import pytest

from data_prep.volumes.geometry import Grid
from data_prep.volumes.volume import Volume

GRID = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("DOE/a.nii: 3.5 % of the voxels are NaN.", "3.5 % of the voxels are NaN."),
        (
            "DOE/a.nii: took series 1.2.840.99.1, the longest of 2: 1.2.840.99.1 (8 slices); 1.2.",
            "Took series (UID), the longest of 2.",
        ),
        (
            "DOE/a.nii: 1 files beside the slices were left out: DOE/a.nii/DOE.xyz.",
            "1 files beside the slices were left out.",
        ),
        ("DOE/other: MONOCHROME1 (low is bright).", "MONOCHROME1 (low is bright)."),
        ("the slices lie 0.25 mm apart.", "The slices lie 0.25 mm apart."),
    ],
)
def test_names_are_taken_out(note, expected):
    volume = Volume(np.zeros((2, 2, 2)), (1, 1, 1), "DOE/a.nii#1.2.840.99.1", GRID, notes=(note,))
    assert volume.anonymous_notes == (expected,)
