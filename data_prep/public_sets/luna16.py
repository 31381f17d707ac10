"""LUNA16 (888 chest CT scans): `mmglan public-set luna16`.

Reads what lies below one folder: `subset0/<series>.mhd` to `subset9`, `annotations.csv` (1 186
nodules: centre in mm, diameter) and, if it is there, `annotations_excluded.csv` of the evaluation
script (findings that count neither as nodules nor as false positives). The coordinates are those of
MetaImage, which are LPS.

The set has no outlines: a nodule has one diameter. In `bookmarks.csv` it therefore is a length, on
the slice of its centre, without a short axis: `prepare --one-axis` decides what becomes of it
(`circle`, or a region to ignore). `masks/` holds a ball of that diameter for each nodule, to test
on whole volumes. Scans without a nodule are listed as free of lesions.

A finding to ignore is a circle on each slice that it reaches: the section of a ball of its
diameter, or of the 10 mm that the challenge's evaluation takes where none is stated. A slice with
such a region is written by `prepare`, and most slices of the set have one; by default only those on
slices of bookmarks are listed. `split.csv`: subset 9 is for the test, 8 for validation, the others
for training.

Source: Setio et al. 2017, of LIDC-IDRI. Licence as published: CC BY 4.0.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from data_prep.csv_rows import dict_of, number, read_text, rows_of
from data_prep.errors import DataError
from data_prep.public_sets.converted import Converted
from data_prep.public_sets.key_slices import row_in_mm
from data_prep.volumes.geometry import Grid
from data_prep.volumes.itk.write_nifti import write_nifti

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
NODULES, EXCLUDED = "annotations.csv", "annotations_excluded.csv"
SPLITS = {"subset8": "val", "subset9": "test"}
EXCLUDED_RULES = ("key-slices", "all")
UNSTATED_DIAMETER_MM = 10.0


@dataclass(frozen=True)
class Finding:
    """A finding: centre `(3,)` in mm (LPS), and diameter in mm, negative if unstated."""

    centre: np.ndarray
    diameter_mm: float

    def section(self, z_mm: float) -> np.ndarray | None:
        """Return the ends `(2, 3)` of the diameter along x of its ball's section at a height.

        None where the ball does not reach.
        """
        square = self.radius_mm**2 - (z_mm - self.centre[2]) ** 2
        if square <= 0:
            return None
        arm = np.array([math.sqrt(square), 0.0, 0.0])
        centre = np.array([*self.centre[:2], z_mm])
        return np.stack([centre - arm, centre + arm])

    @property
    def radius_mm(self) -> float:
        """Half its diameter, or half of what is taken where none is stated."""
        return (self.diameter_mm if self.diameter_mm > 0 else UNSTATED_DIAMETER_MM) / 2


def read_findings(path: Path) -> dict[str, list[Finding]]:
    """Read a table of findings by series.

    Raises:
        DataError: Other columns, or a row that is not as expected.
    """
    rows = rows_of(read_text(path, path.name), path.name)
    found: dict[str, list[Finding]] = defaultdict(list)
    columns: list[str] = []
    for row, cells in rows:
        if isinstance(cells, DataError):
            raise cells
        try:
            if not columns:
                columns = [cell.strip() for cell in cells]
                if missing := [name for name in COLUMNS if name not in columns]:
                    raise DataError(
                        f"Expected the columns {', '.join(COLUMNS)} but got no {missing[0]}. Take"
                        " the file as published."
                    )
                continue
            values = dict_of(columns, cells)
            *centre, diameter = (number(values[name], name) for name in COLUMNS[1:])
        except DataError as error:
            raise DataError(error.message, path=path.name, row=row) from None
        found[values["seriesuid"]].append(Finding(np.array(centre), diameter))
    return found


def find_scans(source: Path) -> dict[str, Path]:
    """Find the scans by series; masks of lungs, which have the same names, lie elsewhere.

    Raises:
        DataError: There are none, or one is there twice.
    """
    found: dict[str, Path] = {}
    for path in sorted(source.rglob("subset*/*.mhd")):
        if path.stem in found:
            raise DataError(
                f"Expected each scan once but got it in {found[path.stem].parent.name} too. Remove"
                " one.",
                path=path,
            )
        found[path.stem] = path
    if not found:
        raise DataError(
            "Expected scans subset*/*.mhd but got none. Name the folder that holds the unpacked"
            " subsets.",
            path=source,
        )
    return found


def read_grid(path: Path, name: str) -> Grid:
    """Read where the voxels of a scan lie, without the voxels.

    Raises:
        DataError: The header is not that of a volume.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise DataError(
            "Expected the header of a MetaImage but got none that can be read. Unpack the subset"
            " again.",
            path=name,
        ) from None
    if reader.GetDimension() != 3:
        raise DataError(
            f"Expected 3 dimensions but got {reader.GetDimension()}. Unpack the subset again.",
            path=name,
        )
    grid = Grid(reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())
    grid.check(name)
    return grid


def balls(findings: Sequence[Finding], grid: Grid) -> np.ndarray:
    """Draw a ball per finding on the axial grid.

    Returns:
        `(Z, Y, X)` uint16, one number per finding; each covers the voxel nearest to its centre at
        least.

    Raises:
        DataError: A centre lies outside the grid.
    """
    labels = np.zeros(grid.axial_shape, np.uint16)
    spacing = np.array(grid.axial_spacing)
    size = np.array(grid.axial_shape[::-1])
    for label, finding in enumerate(findings, start=1):
        centre = _index(finding.centre, grid)
        nearest = np.round(centre).astype(int)
        if (nearest < 0).any() or (nearest >= size).any():
            raise DataError(
                f"Expected nodules inside the scan but got the centre of the {label}. outside. Take"
                f" {NODULES} and the scan as published."
            )
        reach = finding.radius_mm / spacing
        low = np.clip(np.floor(centre - reach), 0, size - 1).astype(int)
        high = np.clip(np.ceil(centre + reach), 0, size - 1).astype(int) + 1
        x, y, z = (
            (np.arange(low[axis], high[axis]) - centre[axis]) * spacing[axis] for axis in range(3)
        )
        square = x**2 + y[:, None] ** 2 + z[:, None, None] ** 2
        part = labels[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        part[square <= finding.radius_mm**2] = label
        labels[tuple(nearest[::-1])] = label
    return labels


def convert(source: Path, out: Path, excluded: str = "key-slices") -> Converted:
    """Write masks and bookmarks below `out`.

    Args:
        source: Folder of the download.
        out: Gets `masks/`, with the paths of the scans, `bookmarks.csv` and `split.csv`.
        excluded: Findings to ignore are listed on `key-slices`, those of bookmarks, or on `all`.

    Raises:
        DataError: A file is missing or not as expected.
    """
    scans = find_scans(source)
    nodules = read_findings(_table(source, NODULES))
    irrelevant: Mapping[str, list[Finding]] = {}
    notes = []
    if any(source.rglob(EXCLUDED)):
        irrelevant = read_findings(_table(source, EXCLUDED))
    else:
        notes.append(f"No {EXCLUDED}: irrelevant findings count as background.")
    rows: list[list[str]] = []
    for series, path in scans.items():
        name = path.relative_to(source).as_posix()
        grid = read_grid(path, name)
        found = nodules.get(series, [])
        try:
            labels = balls(found, grid)
        except DataError as error:
            raise DataError(error.message, path=name) from None
        mask = sitk.GetImageFromArray(grid.to_stored(labels))
        mask.SetOrigin(grid.origin)
        mask.SetSpacing(grid.spacing)
        mask.SetDirection(grid.direction)
        write_nifti(out / "masks" / f"{name.removesuffix('.mhd')}_mask.nii.gz", mask)
        rows += _rows(name, series, grid, found, irrelevant.get(series, ()), excluded)
    if left_out := sum(len(found) for series, found in nodules.items() if series not in scans):
        notes.append(f"{left_out} nodules of scans that are not there: left out.")
    split = {series: SPLITS.get(path.parent.name, "train") for series, path in scans.items()}
    return Converted.with_split(source, out, rows, split, notes)


def _table(source: Path, name: str) -> Path:
    found = sorted(source.rglob(name))
    if not found:
        raise DataError(
            f"Expected {name} but got none. Put the file as published into the folder.", path=source
        )
    if len({path.read_bytes() for path in found}) > 1:
        raise DataError(f"Expected one {name} but got {len(found)}. Keep one.", path=source)
    return found[0]


def _rows(
    volume: str,
    series: str,
    grid: Grid,
    nodules: Sequence[Finding],
    irrelevant: Sequence[Finding],
    excluded: str,
) -> Iterator[list[str]]:
    """Yield the rows of a scan: nodules, findings to ignore, or that it has no lesion."""
    for nodule in nodules:
        yield row_in_mm(volume, series, nodule.section(float(nodule.centre[2])))
    heights = range(grid.axial_shape[0])
    if excluded == "key-slices":
        heights = sorted({round(float(_index(nodule.centre, grid)[2])) for nodule in nodules})
    for z in heights:
        z_mm = float(grid.mm_of_stored_index(grid.stored_index([[0.0, 0.0, z]]))[0, 2])
        for finding in irrelevant:
            if (ends := finding.section(z_mm)) is not None:
                yield row_in_mm(volume, series, ends, status="ignore")
    if not nodules:
        yield row_in_mm(volume, series, status="complete")


def _index(point_lps: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the axial index (x, y, z) of a point in mm."""
    return grid.axial_index(grid.stored_index_of_mm(point_lps[None]))[0]
