"""Lesions to score pseudo masks on.

From voxel masks with bookmarks measured on them or given ones, or from boxes on single images.
"""

from __future__ import annotations

import warnings
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep.bookmarks import recist
from data_prep.bookmarks.locate import PlacedBookmark, place
from data_prep.bookmarks.recist import Bookmark
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.pseudo_masks import shapes
from data_prep.pseudo_masks.matched import match_by_overlap
from data_prep.volumes.volume import Volume, read_labels, read_volume


@dataclass(frozen=True)
class Case:
    """One 2D lesion with its ground truth.

    Attributes:
        volume: path of the image, relative to its root.
        slice_index: axial slice.
        label: value in the voxel mask, or row of the box table.
        part: number of the component among those of its label on its slice.
        cluster: names what the lesion shares with lesions like it (3D object, or patient).
        image: `(H, W)`, the slice.
        gt_mask: `(H, W)` bool, or None where only a box is known.
        box: Its box (x1, y1, x2, y2), pixel *i* covers [i, i + 1).
        bookmark: what the pseudo mask is made from.
        spacing_mm: pixel size (x, y).
    """

    volume: str
    slice_index: int
    label: int
    part: int
    cluster: str
    image: np.ndarray
    gt_mask: np.ndarray | None
    box: tuple[float, float, float, float]
    bookmark: Bookmark
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class Selection:
    """Which components of a mask count, and how their bookmarks are disturbed.

    Attributes:
        min_short_px: shortest accepted short axis, pixels.
        max_long_mm: longest accepted long axis, mm.
        noise: standard deviation of each end point's coordinates, as a share of the short axis.
        seed: of the noise.
        nifti_form: of volumes and masks, see `data_prep.read_volume`.
    """

    min_short_px: float = 3.0
    max_long_mm: float = 60.0
    noise: float = 0.0
    seed: int = 0
    nifti_form: str = "auto"


def from_masks(image: Path, mask: Path, root: Path, select: Selection) -> Iterator[Case]:
    """Yield every 2D component of every label that `Selection` takes, slice by slice.

    Raises:
        DataError: whatever is wrong with the files.
    """
    volume, labels = _read(image, mask, root, select.nifti_form)
    for part in components(labels):
        bookmark = recist.measure(part.mask, volume.spacing_mm[:2])
        if (
            bookmark.short_length() >= select.min_short_px
            and bookmark.long_length(volume.spacing_mm[:2]) <= select.max_long_mm
        ):
            key = (volume.source_id, part.slice_index, part.label, part.part)
            yield _case(volume, part, disturb(bookmark, select, key))


def from_bookmarks(
    image: Path,
    mask: Path,
    root: Path,
    records: Sequence[BookmarkRecord],
    nifti_form: str = "auto",
) -> tuple[list[Case], list[DataError]]:
    """Pair the bookmarks of a volume with the 2D components of its mask that they lie on.

    Of all pairings on a slice, the one whose ellipses and components overlap most (sum of the
    intersections over the unions).

    Returns:
        The pairs, and an error for each bookmark that cannot be placed or lies on no component.

    Raises:
        DataError: whatever is wrong with the files.
    """
    volume, labels = _read(image, mask, root, nifti_form)
    placed: dict[int, list[PlacedBookmark]] = defaultdict(list)
    errors, found = [], []
    for record in records:
        try:
            mark = place(record, volume)
            placed[mark.slice_index].append(mark)
        except DataError as error:
            errors.append(error)
    parts = defaultdict(list)
    for part in components(labels, placed):
        parts[part.slice_index].append(part)
    for z, marks in sorted(placed.items()):
        drawn = [shapes.ellipse_mask(mark.bookmark, labels.shape[1:]) for mark in marks]
        pairs = match_by_overlap(
            [[_mask_iou(ellipse, part.mask) for part in parts[z]] for ellipse in drawn]
        )
        for number, mark in enumerate(marks):
            if number in pairs:
                found.append(_case(volume, parts[z][pairs[number]], mark.bookmark))
            else:
                errors.append(
                    DataError(
                        "Expected a lesion of the mask under the bookmark, one for each bookmark,"
                        " but got none. Leave the bookmark out, or complete the mask.",
                        path=mark.record.file,
                        row=mark.record.row,
                        slice_index=z,
                    )
                )
    return found, errors


def _read(image: Path, mask: Path, root: Path, nifti_form: str) -> tuple[Volume, np.ndarray]:
    """Read a volume and its labels `(Z, Y, X)`; what their readers note are warnings."""
    volume = read_volume(image, root=root, min_slices=1, nifti_form=nifti_form)
    mask_volume = read_labels(mask, volume, nifti_form=nifti_form)
    for note in (*volume.notes, *mask_volume.notes):
        warnings.warn(note, stacklevel=3)
    return volume, mask_volume.array


@dataclass(frozen=True)
class Component:
    """A 2D component of a label; attributes as of `Case`.

    Attributes:
        object_number: number of its 3D component among those of the label.
        mask: `(H, W)` bool.
    """

    slice_index: int
    label: int
    part: int
    object_number: int
    mask: np.ndarray


def components(labels: np.ndarray, slices: Collection[int] | None = None) -> Iterator[Component]:
    """Yield every 2D component of every label `(Z, Y, X)`, on some slices or all."""
    for label in np.unique(labels[labels > 0]).tolist():
        box = ndimage.find_objects((labels == label).astype(np.uint8))[0]
        objects, _ = ndimage.label(labels[box] == label)
        for z in range(box[0].start, box[0].stop):
            if slices is not None and z not in slices:
                continue
            parts, count = ndimage.label(objects[z - box[0].start])
            for part in range(1, count + 1):
                gt_mask = np.zeros(labels.shape[1:], bool)
                gt_mask[box[1:]] = parts == part
                number = int(objects[z - box[0].start][parts == part][0])
                yield Component(z, label, part, number, gt_mask)


def _case(volume: Volume, part: Component, bookmark: Bookmark) -> Case:
    return Case(
        volume=volume.source_id,
        slice_index=part.slice_index,
        label=part.label,
        part=part.part,
        cluster=f"{volume.source_id}/{part.label}/{part.object_number}",
        image=volume.array[part.slice_index],
        gt_mask=part.mask,
        box=mask_box(part.mask),
        bookmark=bookmark,
        spacing_mm=(float(volume.spacing_mm[0]), float(volume.spacing_mm[1])),
    )


def _mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def disturb(bookmark: Bookmark, select: Selection, key: tuple) -> Bookmark:
    """Move the end points as an unsteady hand would have; the same for the same key."""
    if not select.noise:
        return bookmark
    rng = np.random.default_rng((select.seed, zlib.crc32(repr(key).encode())))
    deviation = select.noise * bookmark.short_length()
    points = bookmark.points() + rng.normal(0.0, deviation, (4, 2))
    return Bookmark(points[:2], points[2:])


def mask_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Return the box (x1, y1, x2, y2) of a mask, pixel *i* covers [i, i + 1); zeros if empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return (0.0, 0.0, 0.0, 0.0)
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
