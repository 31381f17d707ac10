"""From detections on slices to 3D lesions: linking, boxes, volumes, axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_prep.volumes.volume import Volume
from mmglan.detections.calibration import Calibration
from mmglan.detections.findings import Lesion, SliceDetection
from mmglan.detections.measured_axes import measurement_of, rounded
from mmglan.detections.stacking import Stacking
from mmglan.inference.soft_masks import SoftMask


@dataclass(frozen=True, eq=False)
class Detections2D:
    """The detections on one axial slice.

    N: number of detections.

    Attributes:
        boxes: `(N, 4)` x1, y1, x2, y2 in pixels of the slice, edges (pixel *i* covers [i, i + 1)).
        scores: `(N,)`.
        labels: `(N,)` index of the class.
        masks: N masks; None if the model has none.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: Sequence[SoftMask] | None = None


def measure_ahead(found: Detections2D, volume: Volume, threshold: float) -> None:
    """Measure and encode masks before `link_lesions` asks for it; they keep the results.

    Args:
        found: The detections on a slice.
        volume: The scan.
        threshold: Detections of a lower score are left to `link_lesions`: most are in no lesion.
    """
    for row in np.flatnonzero(found.scores >= threshold) if found.masks is not None else ():
        found.masks[row].measure(volume.spacing_mm[:2])
        found.masks[row].encode()


def link_lesions(
    slices: Mapping[int, Detections2D],
    volume: Volume,
    *,
    threshold: float,
    min_short_axis_mm: float = 0.0,
    classes: Sequence[str] = ("lesion",),
    stacking: Stacking | None = None,
    calibration: Calibration | None = None,
) -> tuple[tuple[Lesion, ...], np.ndarray]:
    """Join detections on consecutive slices to lesions, class by class.

    Args:
        slices: Detections by axial slice.
        volume: The scan.
        threshold: Lesions of a lower score are left out.
        min_short_axis_mm: Lesions with a shorter short axis are left out; those without axes stay.
        classes: Names of the classes; several are node sites.
        stacking: How; default as in the paper.
        calibration: From scores to probabilities; None leaves these out.

    Returns:
        Lesions by falling score, and the label map `(Z, Y, X)` uint16 of their numbers; where two
        lesions overlap, the one of higher score keeps the voxel.
    """
    lesions, masks = [], []
    chains = sorted(_chains(slices, classes, stacking or Stacking()), key=lambda chain: -chain[0])
    for score, name, members in chains:
        site = name if len(classes) > 1 else None
        if score >= threshold:
            lesion = _lesion(len(lesions) + 1, score, name, site, slices, members, volume)
            if calibration is not None:
                lesion = replace(lesion, probability=round(float(calibration(score)), 6))
            if lesion.recist is None or lesion.recist.short_axis_mm >= min_short_axis_mm:
                lesions.append(lesion)
                masks.append([(z, slices[z].masks[row]) for z, row in members if slices[z].masks])
    return tuple(lesions), _label_map(masks, volume.array.shape)


def _chains(slices, classes, how: Stacking) -> Iterator[tuple[float, str, list[tuple[int, int]]]]:
    """Yield score, class and (slice, row) pairs of the linked detections."""
    for label, name in enumerate(classes):
        rows = {z: np.flatnonzero(found.labels == label) for z, found in sorted(slices.items())}
        boxes = {
            z: np.column_stack([slices[z].boxes, slices[z].scores])[r] for z, r in rows.items()
        }
        stacks = how.stacks(boxes)
        for box, members in zip(stacks.boxes, stacks.members, strict=True):
            yield float(box[6]), name, [(z, int(rows[z][row])) for z, row in members]


def _lesion(number, score, name, site, slices, members, volume: Volume) -> Lesion:
    parts, voxels, measured, low, high = [], [], [], [], []
    spacing = volume.spacing_mm[:2]
    for z, row in members:
        found = slices[z]
        mask = None if found.masks is None else found.masks[row]
        inside = np.zeros((0, 2), int) if mask is None else mask.voxels()
        if len(inside):
            voxels.append(np.column_stack([inside[:, ::-1], np.full(len(inside), z)]))
            low.append(voxels[-1].min(axis=0))
            high.append(voxels[-1].max(axis=0))
            axes = mask.measure(spacing)
            measured.append((axes.long_length(spacing), z, axes))
        else:
            x1, y1, x2, y2 = found.boxes[row]
            low.append(np.floor((x1 + 0.5, y1 + 0.5, z)))
            high.append(np.maximum(np.ceil((x2 - 0.5, y2 - 0.5, z)), low[-1]))
        parts.append(_part(z, found, row, mask if len(inside) else None))
    last = np.array(volume.array.shape[::-1]) - 1
    low = np.clip(np.min(low, axis=0), 0, last)
    high = np.clip(np.max(high, axis=0), 0, last)
    count = sum(map(len, voxels))
    centre = np.concatenate(voxels).mean(axis=0) if count else (low + high) / 2
    largest = max(measured, key=lambda entry: entry[0], default=None)
    return Lesion(
        number=number,
        score=round(score, 6),
        probability=None,
        box3d=tuple(int(v) for v in (*low, *high)),
        centre_lps=rounded(volume.to_patient_mm(centre[None])[0]),
        volume_ml=round(count * float(np.prod(volume.spacing_mm)) / 1000, 6) if count else None,
        recist=None if largest is None else measurement_of(largest[1], largest[2], volume),
        slices=tuple(parts),
        category=name,
        site=site,
    )


def _part(z: int, found: Detections2D, row: int, mask: SoftMask | None) -> SliceDetection:
    x1, y1, x2, y2 = map(float, found.boxes[row])
    return SliceDetection(
        int(z),
        tuple(round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)),
        round(float(found.scores[row]), 6),
        None if mask is None else mask.encode(),
    )


def _label_map(
    masks: Sequence[Sequence[tuple[int, SoftMask]]], shape: tuple[int, int, int]
) -> np.ndarray:
    """Draw the masks of lesions 1, 2, …, which come by falling score."""
    labels = np.zeros(shape, np.uint16)
    for number in range(len(masks), 0, -1):  # the higher score is drawn last
        for z, mask in masks[number - 1]:
            mask.draw(labels[z], number)
    return labels
