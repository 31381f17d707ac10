"""From detections on slices to 3D lesions: linking, boxes, volumes, axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils

from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Lesion, RecistMeasurement, SliceDetection
from mmglan.detections.stacking import stack
from mmglan.inference.automatic_recist import measure_soft_mask


@dataclass(frozen=True, eq=False)
class Detections2D:
    """The detections on one axial slice.

    N: number of detections.

    Attributes:
        boxes: `(N, 4)` x1, y1, x2, y2 in pixels of the slice, edges (pixel *i* covers [i, i + 1)).
        scores: `(N,)`.
        labels: `(N,)` index of the class.
        masks: N arrays `(H, W)` uint8, 255 times the probability; None if the model has no masks.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: Sequence[np.ndarray] | None = None


def link_lesions(
    slices: Mapping[int, Detections2D],
    volume: Volume,
    *,
    threshold: float,
    classes: Sequence[str] = ("lesion",),
    sites: bool = False,
    iou_threshold: float = 0.1,
) -> tuple[tuple[Lesion, ...], np.ndarray]:
    """Join detections on consecutive slices to lesions, class by class.

    Args:
        slices: Detections by axial slice.
        volume: The scan.
        threshold: Lesions of a lower score are left out.
        classes: Names of the classes.
        sites: Whether the classes are node sites.
        iou_threshold: See `mmglan.detections.stacking.stack`.

    Returns:
        Lesions by falling score, and the label map `(Z, Y, X)` uint16 of their numbers; where two
        lesions overlap, the one of higher score keeps the voxel.
    """
    found = []
    for label, name in enumerate(classes):
        rows = {
            z: np.flatnonzero(detections.labels == label)
            for z, detections in sorted(slices.items())
        }
        boxes = {
            z: np.column_stack([slices[z].boxes, slices[z].scores])[r] for z, r in rows.items()
        }
        stacks = stack(boxes, iou_threshold=iou_threshold)
        for box, members in zip(stacks.boxes, stacks.members, strict=True):
            if box[6] >= threshold:
                members = [(z, int(rows[z][row])) for z, row in members]
                found.append((float(box[6]), name, members))
    found.sort(key=lambda entry: -entry[0])
    labels = np.zeros(volume.array.shape, np.uint16)
    lesions = tuple(
        _lesion(number, score, name, members, slices, volume, labels, sites)
        for number, (score, name, members) in enumerate(found, start=1)
    )
    return lesions, labels


def _lesion(number, score, name, members, slices, volume, labels, sites) -> Lesion:
    parts, largest, voxels, centre = [], None, 0, np.zeros(3)
    corners = []
    for z, row in members:
        detections = slices[z]
        box = detections.boxes[row]
        mask = None if detections.masks is None else np.asarray(detections.masks[row])
        inside = None if mask is None else mask >= 128
        if inside is not None and inside.any():
            free = inside & (labels[z] == 0)
            labels[z][free] = number
            y, x = np.nonzero(inside)
            voxels += len(x)
            centre += (x.sum(), y.sum(), z * len(x))
            corners.append((x.min(), y.min(), z, x.max(), y.max(), z))
            axes = measure_soft_mask(mask / 255, volume.spacing_mm[:2])
            length = axes.long_length(volume.spacing_mm[:2])
            if largest is None or length > largest[0]:
                largest = length, z, axes
        else:
            inside = None
            x1, y1, x2, y2 = box
            low = np.floor((x1 + 0.5, y1 + 0.5))
            high = np.maximum(np.ceil((x2 - 0.5, y2 - 0.5)), low)
            corners.append((*low, z, *high, z))
        parts.append(
            SliceDetection(
                z,
                tuple(
                    round(float(v), 3) for v in (box[0], box[1], box[2] - box[0], box[3] - box[1])
                ),
                round(float(detections.scores[row]), 6),
                None if inside is None else _encode(inside),
            )
        )
    corners = np.array(corners, float)
    low, high = corners[:, :3].min(axis=0), corners[:, 3:].max(axis=0)
    size = np.array(volume.array.shape[::-1]) - 1
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    middle = centre / voxels if voxels else (low + high) / 2
    return Lesion(
        number=number,
        score=round(score, 6),
        probability=None,
        box3d=tuple(int(v) for v in (*low, *high)),
        centre_lps=_rounded(volume.to_patient_mm(middle[None])[0]),
        volume_ml=round(voxels * float(np.prod(volume.spacing_mm)) / 1000, 6) if voxels else None,
        recist=None if largest is None else _measurement(largest[1], largest[2], volume),
        slices=tuple(parts),
        category=name,
        site=name if sites else None,
    )


def _measurement(z: int, axes, volume: Volume) -> RecistMeasurement:
    points = axes.points()
    lps = volume.to_patient_mm(np.column_stack([points, np.full(4, float(z))]))
    pixels = [_rounded(point) for point in points]
    mm = [_rounded(point) for point in lps]
    return RecistMeasurement(
        slice_index=int(z),
        long_axis=tuple(pixels[:2]),
        short_axis=tuple(pixels[2:]),
        long_axis_lps=tuple(mm[:2]),
        short_axis_lps=tuple(mm[2:]),
        long_axis_mm=round(axes.long_length(volume.spacing_mm[:2]), 4),
        short_axis_mm=round(axes.short_length(volume.spacing_mm[:2]), 4),
    )


def _rounded(point) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in point)


def _encode(mask: np.ndarray) -> dict:
    code = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode("ascii")}
