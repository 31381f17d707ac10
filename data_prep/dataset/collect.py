"""From the results of the volumes to a data set: the table of its slices.

Results stay on disk. Of each slice only a row of a table is kept here, so that memory does not
depend on how much is known of the lesions. Image ids are 1 + the row: they follow the order of
volumes and slices, not which worker finished first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from data_prep.dataset.one_volume.volume_result import VolumeResult
from data_prep.errors import DataError

SIZE_LIMITS_MM = (10.0, 20.0)
NO_LESION = "no lesion"
NO_SITE = "unspecified"
# Columns of the table of slices: the volume's place in the list, the slice's index in the volume,
# whether it belongs into the data set (others serve as neighbours or for tests on whole volumes),
# numbers of bookmarks, of lesions followed to it and of lesions of the voxel mask on it, digest of
# the pixels (empty: all pixels have one value).
SLICE = np.dtype(
    [
        *(("volume", "i4"), ("index", "i4"), ("listed", "?")),
        *(("lesions", "i4"), ("propagated", "i4"), ("gt_lesions", "i4"), ("digest", "S32")),
    ]
)


@dataclass
class Dataset:
    """What a run found, in short.

    Attributes:
        volumes: (volume id, patient id) of each volume that gave slices.
        slices: Table of their slices, see `SLICE`.
        strata: Patient → (most frequent site, size class of the largest short axis).
        sources: How many pseudo masks come from where.
        sites: How many bookmarked lesions there are of each site, `NO_SITE` where none is named.
        has_gt: Whether any volume has a voxel mask.
        ignored: Number of regions to ignore.
        stored_sizes: Columns, rows and slices of every volume asked for; None if it is unreadable.
        bookmarks: Number of those that could be read.
        errors, notes: Lines for the user.
    """

    volumes: list[tuple[str, str]] = field(default_factory=list)
    slices: np.ndarray = field(default_factory=lambda: np.zeros(0, SLICE))
    strata: dict[str, tuple[str, str]] = field(default_factory=dict)
    sources: Counter = field(default_factory=Counter)
    sites: Counter = field(default_factory=Counter)
    has_gt: bool = False
    ignored: int = 0
    stored_sizes: list[tuple[int, ...] | None] = field(default_factory=list)
    bookmarks: int = 0
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def collect(results: Iterable[VolumeResult]) -> Dataset:
    """Sum up the results of the volumes, ordered by volume id."""
    found = Dataset()
    tables = [found.slices]
    sites: dict[str, Counter] = {}
    largest: dict[str, float] = {}
    for result in results:
        size = result.stored_size
        found.stored_sizes.append(None if size is None else tuple(size))
        found.bookmarks += result.n_bookmarks
        found.errors += result.errors
        found.notes += result.notes
        if not result.slices:
            continue
        patient = result.patient_id
        found.has_gt |= result.has_gt
        found.ignored += len(result.ignored)
        tables.append(_table(result, len(found.volumes)))
        found.volumes.append((result.volume_id, patient))
        if tables[-1]["listed"].any():
            sites.setdefault(patient, Counter())
        for lesion in result.lesions:
            found.sources[lesion.mask_source] += 1
            found.sites[lesion.site or NO_SITE] += 1
            sites[patient][lesion.site or ""] += 1
            largest[patient] = max(largest.get(patient, 0.0), lesion.short_axis_mm)
    found.slices = np.concatenate(tables)
    _leave_copies_out(found)
    listed = np.unique(found.slices["volume"][found.slices["listed"]])
    for patient in sorted({*sites} & {found.volumes[volume][1] for volume in listed}):
        counts = sites[patient]
        site = min(counts, key=lambda s: (-counts[s], s)) if counts else ""
        size = size_class(largest[patient]) if counts else NO_LESION
        found.strata[patient] = (site, size)
    return found


def _leave_copies_out(found: Dataset) -> None:
    """Take volumes without a lesion from the data set that show slices of another with lesions.

    Copies of a volume whose bookmarks name the original would count as lesion-free.
    """
    slices = found.slices
    marked = (slices["lesions"] > 0) | (slices["gt_lesions"] > 0)
    bare = slices["listed"] & ~np.isin(slices["volume"], slices["volume"][marked])
    known = slices["digest"] != b""
    same = bare & known & np.isin(slices["digest"], slices["digest"][marked & known])
    for volume in np.unique(slices["volume"][same]).tolist():
        row = int(np.flatnonzero(same & (slices["volume"] == volume))[0])
        first = int(np.flatnonzero(marked & (slices["digest"] == slices["digest"][row]))[0])
        error = DataError(
            "Expected a volume without lesions but got slices of"
            f" {found.volumes[slices['volume'][first]][0]}, which has some: it is left out. Remove"
            " the copy.",
            path=found.volumes[volume][0],
            slice_index=int(slices["index"][row]),
        )
        found.errors.append(str(error))
        slices["listed"][slices["volume"] == volume] = False


def _table(result: VolumeResult, volume: int) -> np.ndarray:
    lesions = Counter(lesion.slice_index for lesion in result.lesions)
    propagated = Counter(lesion.slice_index for lesion in result.propagated)
    gt_lesions = Counter(lesion.slice_index for lesion in result.gt_lesions or ())
    rows = []
    for entry in result.slices:
        z, listed = entry.slice_index, entry.kind not in ("extra", "propagated")
        rows.append(
            (volume, z, listed, lesions[z], propagated[z], gt_lesions[z], entry.digest or "")
        )
    return np.array(rows, SLICE)


def size_class(short_axis_mm: float) -> str:
    """Name the class of a lesion by its short axis: below 10 mm, 10 to 20 mm, above."""
    low, high = SIZE_LIMITS_MM
    if short_axis_mm < low:
        return f"< {low:g} mm"
    return f"{low:g}-{high:g} mm" if short_axis_mm <= high else f"> {high:g} mm"
