"""The lesions of one volume: placed bookmarks, pseudo masks, and those of a voxel mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from data_prep.bookmarks.ignore_regions import ignore_regions
from data_prep.bookmarks.locate import PlacedBookmark, place
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset import coco_entries
from data_prep.dataset.one_volume.slice_selection import VolumeOptions
from data_prep.dataset.one_volume.volume_result import IgnoreRegion, Lesion3D, SliceLesion
from data_prep.errors import DataError
from data_prep.pseudo_masks.methods import pseudo_mask
from data_prep.pseudo_masks.propagate import propagate
from data_prep.volumes.volume import Volume


def place_all(
    records: Iterable[BookmarkRecord], volume: Volume
) -> tuple[list[PlacedBookmark], list[DataError]]:
    """Place bookmarks in their volume.

    Returns:
        Those on its slices, ordered by slice and end points; and an error for each that is refused,
        since it lies outside, say, or is the duplicate of another.
    """
    placed, refused, seen = [], [], {}
    for record in records:
        try:
            mark = place(record, volume)
            # From whichever end an axis was drawn.
            points = sorted(map(tuple, np.round(mark.bookmark.points(), 3).tolist()))
            first = seen.setdefault((mark.slice_index, *points), record)
            if first is not record:
                where = "" if first.file == record.file else f"{first.file}, "
                raise DataError(
                    f"Expected each bookmark once but got the one of {where}row {first.row} again."
                    " Remove one of the rows.",
                    path=record.file,
                    row=record.row,
                )
            placed.append(mark)
        except DataError as error:
            refused.append(error)
    placed.sort(key=lambda mark: (mark.slice_index, mark.bookmark.points().ravel().tolist()))
    return placed, refused


def regions_to_ignore(
    records: Iterable[BookmarkRecord], volume: Volume
) -> tuple[list[IgnoreRegion], list[DataError]]:
    """Return the regions of measurements without two axes, and an error for each refused one."""
    found, refused = [], []
    for record in records:
        try:
            found += [
                IgnoreRegion(slice_index=z, drawn=record.drawn, **coco_entries.mask_fields(pixels))
                for z, pixels in ignore_regions(record, volume).items()
            ]
        except DataError as error:
            refused.append(error)
    found.sort(key=lambda region: (region.slice_index, region.bbox))
    return found, refused


def reaching(
    marked: Iterable[SliceLesion | IgnoreRegion], slices: Iterable[int], spacing: Sequence[float]
) -> list[IgnoreRegion]:
    """Return where marked lesions may reach on other slices: what they cover on their own.

    A lesion is taken to reach as far as its long axis, a region as its longer side, as in
    `slice_selection.used_slices`.

    Args:
        marked: Lesions and regions to ignore.
        slices: Slices without a mark.
        spacing: (x, y, z) in mm.
    """
    found = []
    for entry in marked:
        is_lesion = isinstance(entry, SliceLesion)
        reach_mm = entry.long_axis_mm if is_lesion else max(entry.bbox[2:]) * max(spacing[:2])
        for z in sorted(slices):
            if abs(z - entry.slice_index) * spacing[2] <= max(reach_mm, spacing[2]):
                fields = (entry.bbox, entry.area, entry.segmentation)
                found.append(IgnoreRegion(z, *fields, drawn="may reach"))
    return sorted(found, key=lambda region: (region.slice_index, region.bbox))


def with_pseudo_mask(
    image: np.ndarray, mark: PlacedBookmark, spacing_xy: Sequence[float], options: VolumeOptions
) -> SliceLesion:
    """Make the pseudo mask of a bookmark on its slice `(H, W)`; spacing in mm."""
    made = pseudo_mask(
        image,
        mark.bookmark,
        options.mask_method,
        iterations=options.iterations,
        spacing_xy=spacing_xy,
    )
    return SliceLesion(
        slice_index=int(mark.slice_index),
        mask_source=made.source,
        site=mark.record.site or None,
        **coco_entries.mask_fields(made.mask),
        **coco_entries.bookmark_fields(mark.bookmark, spacing_xy),
    )


def propagated(
    lesions: Sequence[SliceLesion],
    ignored: Sequence[IgnoreRegion],
    image: Callable[[int], np.ndarray],
    volume: Volume,
    limit: int,
) -> list[SliceLesion]:
    """Follow bookmarked lesions to the slices around.

    Half a lesion's long axis is how far it is taken to reach. It is followed to no place that
    another one or a region to ignore takes.

    Args:
        lesions: With their pseudo masks.
        ignored: Regions to ignore.
        image: Gives slice z `(H, W)`.
        volume: Which they are of.
        limit: Greatest distance in slices.
    """
    if not limit:
        return []
    taken = defaultdict(list)
    for entry in [*lesions, *ignored]:
        taken[entry.slice_index].append(coco_entries.decode(entry.segmentation))
    found = []
    for lesion in lesions:
        masks = propagate(
            image,
            len(volume.array),
            lesion.slice_index,
            coco_entries.decode(lesion.segmentation),
            min(limit, int(lesion.long_axis_mm / 2 // volume.spacing_mm[2])),
            is_free=lambda z, mask: not any((mask & other).any() for other in taken[z]),
        )
        for z, mask in sorted(masks.items()):
            taken[z].append(mask)
            found.append(
                SliceLesion(
                    slice_index=z,
                    mask_source="propagated",
                    site=lesion.site,
                    **coco_entries.measured_fields(mask, volume.spacing_mm[:2]),
                )
            )
    return sorted(found, key=lambda lesion: (lesion.slice_index, lesion.bbox))


def of_boxes(
    boxes: Iterable[Sequence[float]], volume: Volume
) -> tuple[list[SliceLesion], list[Lesion3D]]:
    """Turn 3D boxes into lesions on each of their slices, and in 3D.

    Args:
        boxes: x1, y1, z1, x2, y2, z2 of voxels that belong to the lesion: pixels of the stored
            slices, and slice numbers.
        volume: Their volume, whose slices have numbers.
    """
    on_slices, in_3d = [], []
    for label, (x1, y1, z1, x2, y2, z2) in enumerate(boxes, start=1):
        numbers = (volume.slice_numbers.index(int(z)) for z in (z1, z2))
        corners = np.concatenate(
            [
                volume.from_stored([xy], z)
                for xy, z in zip(((x1, y1), (x2, y2)), numbers, strict=True)
            ]
        )
        low, high = (
            np.round(ends).astype(int).tolist() for ends in (corners.min(0), corners.max(0))
        )
        width, height = high[0] - low[0] + 1, high[1] - low[1] + 1
        sides = width * volume.spacing_mm[0], height * volume.spacing_mm[1]
        axes = {"long_axis_mm": round(max(sides), 4), "short_axis_mm": round(min(sides), 4)}
        in_3d.append(
            Lesion3D(label=label, box3d=[*low, *high], key_slice=(low[2] + high[2]) // 2, **axes)
        )
        on_slices += [
            SliceLesion(
                slice_index=z,
                lesion=label,
                bbox=[float(low[0]), float(low[1]), float(width), float(height)],
                area=width * height,
                segmentation=None,
                recist=None,
                mask_source="box",
                **axes,
            )
            for z in range(low[2], high[2] + 1)
        ]
    on_slices.sort(key=lambda lesion: (lesion.slice_index, lesion.lesion))
    return on_slices, in_3d


def of_labels(
    labels: np.ndarray,
    slices: Iterable[int],
    spacing_xy: Sequence[float],
    marked: Sequence[SliceLesion] = (),
) -> list[SliceLesion]:
    """Cut the lesions of a voxel mask `(Z, Y, X)` on some slices; spacing in mm.

    A lesion has, on all its slices, the site of the bookmarked one in `marked` that covers it.
    """
    sites = _sites_of_labels(labels, marked)
    return [
        SliceLesion(
            slice_index=z,
            lesion=int(label),
            mask_source="truth",
            site=sites.get(int(label)),
            **coco_entries.measured_fields(labels[z] == label, spacing_xy),
        )
        for z in slices
        for label in np.unique(labels[z])
        if label
    ]


def _sites_of_labels(labels: np.ndarray, marked: Sequence[SliceLesion]) -> dict[int, str]:
    """Return the site of each label: that of the pseudo mask with most of its voxels."""
    best: dict[int, tuple[int, str]] = {}
    for lesion in marked:
        if lesion.site is None:
            continue
        covered = labels[lesion.slice_index][coco_entries.decode(lesion.segmentation) > 0]
        names, counts = np.unique(covered[covered > 0], return_counts=True)
        if len(names):
            label, voxels = int(names[counts.argmax()]), int(counts.max())
            best[label] = max(best.get(label, (0, "")), (voxels, lesion.site))
    return {label: site for label, (_, site) in best.items()}
