"""Where a NIfTI file places its voxels: qform, sform and pixdim, compared with each other.

Programs differ in which of them they take, so a file whose own statements disagree lies at
different places for different programs. Such a file is refused until one is chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data_prep.errors import DataError
from data_prep.volumes.geometry import Grid
from data_prep.volumes.itk.header import NO_ORIENTATION, check_spacing

FORMS = ("auto", "qform", "sform")
# NIfTI's codes of length units, in mm; unknown (0) is taken as mm, as all programs do.
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Forms:
    """What a NIfTI header says about the places of its voxels.

    Args:
        pixdim: `pixdim[0]` to `pixdim[3]`: the sign of the third axis, then the spacing.
        qform_code: 0 if there is no qform.
        sform_code: 0 if there is no sform.
        quaternion: b, c, d and the three offsets of the qform.
        sform: The sform's 12 numbers, row by row.
        unit_code: Code of the length unit, `xyzt_units & 7`.
    """

    pixdim: tuple[float, ...]
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    sform: tuple[float, ...]
    unit_code: int


def nifti_grid(
    forms: Forms, size: tuple[int, int, int], form: str, name: str
) -> tuple[Grid, tuple[str, ...]]:
    """Return the grid of a NIfTI file, and notes on what was chosen or assumed.

    Forms agree if no corner of the volume moves by more than a tenth of the smallest voxel edge.

    Args:
        forms: The header's statements.
        size: Voxels along (i, j, k).
        form: `auto` refuses forms that disagree; `qform` and `sform` take the one named where the
            file has both. The sform's own steps are taken only if it is named.
        name: How messages call the file.

    Raises:
        DataError: Forms that disagree, an unknown unit, or numbers that make no grid.
    """
    if form not in FORMS:
        raise ValueError(f"Expected nifti_form {', '.join(FORMS)} but got {form!r}.")
    unit = _UNIT_MM.get(forms.unit_code)
    if unit is None:
        raise DataError(
            f"Expected a length unit (xyzt_units) from 0 to 3 but got {forms.unit_code}. Repair "
            "the header.",
            path=name,
        )
    converted = ()
    if unit != 1.0:
        told = (
            f"{name}: the header states lengths in units of {unit:g} mm, as which they were taken."
        )
        converted = (told,)
    spacing = tuple(step * unit for step in forms.pixdim[1:4])
    check_spacing(spacing, name)
    if forms.qform_code <= 0 and forms.sform_code <= 0:
        grid = Grid(size, spacing, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
        return grid, (f"{name}: {NO_ORIENTATION}", *converted)
    grids = {}
    if forms.qform_code > 0:
        grids["qform"] = _qform_grid(forms, size, spacing, unit)
    if forms.sform_code > 0:
        grids["sform"] = _sform_grid(forms, size, unit, name)
    grid, notes = _chosen(grids, spacing, form, name)
    return grid, notes + converted


def _chosen(
    grids: dict[str, Grid], spacing: tuple[float, ...], form: str, name: str
) -> tuple[Grid, tuple[str, ...]]:
    """Choose among the forms of a file; see `nifti_grid`."""
    taken = form if form in grids else "sform" if "sform" in grids else "qform"
    difference = None
    if len(grids) == 1:
        grids[taken].check(name)
    if len(grids) == 2:
        away = grids["sform"].corners_apart(grids["qform"])
        if not away <= 0.1 * min(spacing):
            difference = f"an sform that lies up to {away:.4g} mm from the qform"
    elif taken == "sform":
        sform = grids["sform"]
        steps = Grid(sform.size, spacing, sform.origin, sform.direction)
        away = sform.corners_apart(steps)
        if not away <= 0.1 * min(spacing):
            shown = (" x ".join(f"{s:.6g}" for s in g.spacing) for g in (steps, sform))
            difference = "pixdim {} mm but sform steps {} mm".format(*shown)
            if form == "qform":  # there is none: the spacing that a qform would have
                return _sound(steps, name), (f"{name}: {difference}; took pixdim.",)
    if difference is None:
        best = grids[taken]
        if taken == "sform":  # rounded to the same as pixdim, which holds the round numbers
            best = Grid(best.size, spacing, best.origin, best.direction)
        return _sound(best, name), ()
    if form == "auto":
        raise DataError(
            f"Expected forms of one place but got {difference}. Choose one with --nifti-form qform"
            " or --nifti-form sform, or write the file again with one form.",
            path=name,
        )
    return _sound(grids[taken], name), (f"{name}: {difference}; took the {taken}.",)


def _sound(grid: Grid, name: str) -> Grid:
    check_spacing(grid.spacing, name)
    grid.check(name)
    return grid


def _qform_grid(
    forms: Forms, size: tuple[int, int, int], spacing: tuple[float, ...], unit: float
) -> Grid:
    b, c, d, *offsets = forms.quaternion
    squares = b * b + c * c + d * d
    if squares > 1:  # rounding, or a half turn
        b, c, d = (value / math.sqrt(squares) for value in (b, c, d))
        squares = 1.0
    a = math.sqrt(1 - squares)
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    if forms.pixdim[0] < 0:
        turn[:, 2] *= -1
    return _grid(size, spacing, turn, np.array(offsets) * unit)


def _sform_grid(forms: Forms, size: tuple[int, int, int], unit: float, name: str) -> Grid:
    affine = np.array(forms.sform, dtype=float).reshape(3, 4) * unit
    steps = np.linalg.norm(affine[:, :3], axis=0)
    if not np.isfinite(affine).all() or not steps.all():
        raise DataError(
            "Expected a finite sform with a step along every axis but got another. Repair the "
            "header.",
            path=name,
        )
    return _grid(size, tuple(map(float, steps)), affine[:, :3] / steps, affine[:, 3])


def _grid(
    size: tuple[int, int, int], spacing: tuple[float, ...], turn: np.ndarray, origin: np.ndarray
) -> Grid:
    """Return the grid of a rotation and an origin given in RAS."""
    direction = tuple(map(float, (_RAS_TO_LPS @ turn).ravel()))
    return Grid(size, spacing, tuple(map(float, _RAS_TO_LPS @ origin)), direction)
