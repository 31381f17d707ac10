"""Bookmarks measured from voxel masks: one per label, or one per label and slice.

For instance masks such as those of TCIA CT Lymph Nodes, and for any set annotated by voxels. Each
label is one lesion. It is measured on axial slices by `recist.measure`; by default only the
slice with the longest diameter counts, as a radiologist would choose it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep.bookmarks import recist
from data_prep.bookmarks.record import BookmarkRecord, Options
from data_prep.errors import DataError
from data_prep.paths import check_relative
from data_prep.volumes.find import by_name, strip_suffix
from data_prep.volumes.volume import Volume, read_label_volume

OPTIONS = frozenset({"volume", "patient", "slices"})
SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
# An axis of fewer pixels than this, from centre to centre, is no diameter.
MIN_AXIS_PX = 1.0


def matches(path: Path, start: bytes) -> bool:
    """Say whether a path is a mask, or a folder below which masks lie."""
    if path.is_dir():
        return any(_masks(path))
    return path.name.lower().endswith(SUFFIXES)


def read(path: Path, name: str, options: Options) -> tuple[list[BookmarkRecord], list[DataError]]:
    """Measure a mask or a folder of masks; `row` of a record is its label."""
    folder = path.is_dir()
    records: list[BookmarkRecord] = []
    errors: list[DataError] = []

    def refused(error: OSError) -> None:
        below = Path(error.filename).relative_to(path).as_posix()
        message = "Expected a readable folder but the system refuses it. Check the rights."
        errors.append(DataError(message, path=f"{name}/{below}"))

    for file in _masks(path, refused) if folder else [path]:
        label = f"{name}/{file.relative_to(path).as_posix()}" if folder else name
        volume = None
        try:
            if options.volume is not None:
                volume = check_relative(options.volume)
            else:
                stem = re.sub(r"[_-](mask|seg|labels?)$", "", strip_suffix(file.name))
                volume = by_name(stem, options.image_root, label)
            mask = read_label_volume(file)
            found, broken = measure_labels(mask, volume, label, options)
        except DataError as error:
            where = {"path": label, "row": error.row, "slice_index": error.slice_index}
            errors.append(DataError(error.message, **where, volume=volume))
            if not folder:
                raise errors[0] from None
            continue
        records += found
        errors += broken
    return records, errors


def measure_labels(
    mask: Volume, volume: str, name: str, options: Options
) -> tuple[list[BookmarkRecord], list[DataError]]:
    """Measure every label of a mask.

    Args:
        mask: Labels in axial order.
        volume: Volume that the records are for.
        name: How messages call the mask.
        options: `slices`: `largest` or `all`.

    Returns:
        Records in mm (LPS), and an error for each label too small to measure anywhere.
    """
    records, errors = [], []
    numbers, labels = _numbered(mask.array)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if box is None:
            continue
        label = number if labels is None else labels[number]
        measured = []
        for z in range(box[0].start, box[0].stop):
            region = numbers[z, box[1], box[2]] == number
            if not region.any():
                continue
            bookmark = recist.measure(region, mask.spacing_mm[:2])
            corner = [box[2].start, box[1].start]
            points = bookmark.points() + corner
            axes = [np.linalg.norm(points[i + 1] - points[i]) for i in (0, 2)]
            if min(axes) >= MIN_AXIS_PX:
                measured.append((bookmark.long_length(mask.spacing_mm[:2]), -z, points))
        if not measured:
            errors.append(
                DataError(
                    f"Expected lesions of at least 2 x 2 pixels but got label {label}, which is "
                    "smaller. Remove it.",
                    path=name,
                    row=label,
                    volume=volume,
                )
            )
        elif options.slices == "largest":
            measured = [max(measured, key=lambda m: m[:2])]
        for _, minus_z, points in sorted(measured, key=lambda m: -m[1]):
            index = np.column_stack([points, np.full(4, float(-minus_z))])
            records.append(
                BookmarkRecord(
                    volume,
                    mask.to_patient_mm(index),
                    "LPS",
                    patient=options.patient,
                    file=name,
                    row=label,
                )
            )
    return records, errors


def _numbered(array: np.ndarray) -> tuple[np.ndarray, list[int] | None]:
    """Labels as int32, and which label each stands for if high ones were renumbered."""
    if array.max() < 1e6:
        return array.astype(np.int32), None
    labels, numbers = np.unique(np.append(array, 0), return_inverse=True)
    return numbers[:-1].reshape(array.shape).astype(np.int32), labels.tolist()


def _masks(folder: Path, refused: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Masks below a folder, in order; what the system refuses to list goes to `refused`."""
    for here, folders, names in os.walk(folder, onerror=refused):
        folders.sort()
        yield from (Path(here) / n for n in sorted(names) if n.lower().endswith(SUFFIXES))
