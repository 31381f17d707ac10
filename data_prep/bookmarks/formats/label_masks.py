"""Bookmarks measured from voxel masks: one per label, or one per label and slice.

For instance masks such as those of TCIA CT Lymph Nodes, and for any set annotated by voxels. Each
label is one lesion. It is measured on axial slices by `recist.measure`; by default only the
slice with the longest diameter counts, as a radiologist would choose it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from data_prep.bookmarks import recist
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.errors import DataError
from data_prep.volumes.search.file_names import strip_mask_word, suffix_of
from data_prep.volumes.search.volume_index import NoVolumeError, VolumeIndex
from data_prep.volumes.volume import Volume, read_label_volume

OPTIONS = frozenset({"volume", "patient", "slices", "binary_masks", "segments"})
# An axis of fewer pixels than this, from centre to centre, is no diameter.
MIN_AXIS_PX = 1.0


def matches(path: Path, start: bytes) -> bool:
    """Say whether a path is a mask, or a folder below which masks lie."""
    return bool(VolumeIndex(path).label_maps if path.is_dir() else suffix_of(path.name))


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Measure a mask or a folder of masks; `row` of a record is its label."""
    if not path.is_dir():
        return _read_mask(path, name, _volume_of(path.name, name, options), options)
    result = ReadResult()
    root, foreign = None if options.images is None else options.images.root, []
    among = root is not None and path.resolve() == root.resolve()
    masks = VolumeIndex(path, [] if root is None else [root], among_volumes=among)
    for folder in masks.refused_folders:
        message = "Expected a readable folder but the system refuses it. Check the rights."
        result.refuse(DataError(message, path=f"{name}/{folder}"))
    for file in masks.masks:
        label, volume = f"{name}/{file}", None
        try:
            volume = _volume_of(file.rpartition("/")[2], label, options)
            result.add(_read_mask(path / file, label, volume, options))
        except NoVolumeError as error:
            foreign.append(DataError(error.message, path=label))
        except DataError as error:
            where = {"path": label, "row": error.row, "slice_index": error.slice_index}
            result.refuse(DataError(error.message, **where), volume)
    if len(foreign) < len(masks.masks):
        # A joint folder of masks of several sets: those of other volumes are no fault.
        result.notes += [
            f"{e.path}: no volume of this name; the mask is not used." for e in foreign
        ]
        result.all_volumes_known &= not foreign
        return result
    for error in foreign:
        result.refuse(error)
    return result


def _volume_of(file_name: str, label: str, options: Options) -> str:
    return options.volume_called(strip_mask_word(file_name), label)


def _read_mask(path: Path, name: str, volume: str, options: Options) -> ReadResult:
    mask = read_label_volume(path, nifti_form=options.nifti_form, segments=options.segments)
    result = measure_labels(mask, volume, name, options)
    result.notes += mask.notes
    return result


def measure_labels(mask: Volume, volume: str, name: str, options: Options) -> ReadResult:
    """Measure every label of a mask.

    Args:
        mask: Labels in axial order.
        volume: Volume that the records are for.
        name: How messages call the mask.
        options: `slices`: `largest` or `all`.

    Returns:
        Records in mm (LPS); of a label too small to measure anywhere, its corners.
    """
    result = ReadResult()
    array = components(mask.array) if options.binary_masks else mask.array
    numbers, labels = _numbered(array)
    if not options.binary_masks and (note := pieces_note(array, name)):
        result.notes.append(note)
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
            inside = np.argwhere(numbers[box] == number)[:, ::-1]
            corners = inside + [side.start for side in box[::-1]]
            result.records.append(
                BookmarkRecord(
                    volume,
                    mask.to_patient_mm(corners),
                    "LPS",
                    patient=options.patient,
                    file=name,
                    row=label,
                    shape="solid",
                    drawn="label below 2 x 2 pixels",
                    grid=mask.grid,
                )
            )
        elif options.slices == "largest":
            measured = [max(measured, key=lambda m: m[:2])]
        for _, minus_z, points in sorted(measured, key=lambda m: -m[1]):
            index = np.column_stack([points, np.full(4, float(-minus_z))])
            result.records.append(
                BookmarkRecord(
                    volume,
                    mask.to_patient_mm(index),
                    "LPS",
                    patient=options.patient,
                    file=name,
                    row=label,
                    grid=mask.grid,
                )
            )
    return result


def components(labels: np.ndarray) -> np.ndarray:
    """Number the connected components of each label of a mask `(Z, Y, X)`, corners included.

    Voxels of two labels are never of one component.

    >>> components(np.array([[[1, 1, 2, 0, 1]]])).tolist()
    [[[1, 1, 3, 0, 2]]]
    """
    numbers, _ = _numbered(labels)
    found, total = np.zeros(labels.shape, np.int32), 0
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if box is not None:
            pieces, count = ndimage.label(numbers[box] == number, structure=np.ones((3, 3, 3)))
            found[box] += np.where(pieces > 0, pieces + total, 0)
            total += count
    return found


def pieces_note(labels: np.ndarray, name: str) -> str | None:
    """Return a note on labels of several pieces: they may be several lesions.

    Args:
        labels: `(Z, Y, X)`.
        name: How the note calls the mask.

    >>> pieces_note(np.array([[[1, 0, 1, 0, 2]]]), "a.mha").split(". ")[0]
    'a.mha: 1 label of several pieces is taken as one lesion each: 1 (2 pieces)'
    """
    found = []
    numbers, values = _numbered(labels)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if box is not None and (count := int(components(numbers[box] == number).max())) > 1:
            label = number if values is None else values[number]
            found.append(f"{label} ({count} pieces)")
    if not found:
        return None
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    what = "label of several pieces is" if len(found) == 1 else "labels of several pieces are"
    return (
        f"{name}: {len(found)} {what} taken as one lesion each: {shown}. If pieces are lesions,"
        " use --binary-masks."
    )


def _numbered(array: np.ndarray) -> tuple[np.ndarray, list[int] | None]:
    """Return labels as int32, and which label each stands for if high ones were renumbered."""
    if array.max() < 1e6:
        return array.astype(np.int32), None
    labels, numbers = np.unique(np.append(array, 0), return_inverse=True)
    return numbers[:-1].reshape(array.shape).astype(np.int32), labels.tolist()
