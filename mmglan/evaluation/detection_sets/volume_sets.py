"""3D boxes and masks of volumes as detection sets under a protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmglan.detections.coco_files import GroundTruth
from mmglan.detections.coco_masks import rle_of
from mmglan.detections.coco_results import Results
from mmglan.detections.stacking import Stacking
from mmglan.detections.volume_files import VolumeGroundTruth, stack_results
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.detection_sets.detection_set_3d import (
    VolumeInstances,
    detection_set_of_boxes,
    detection_set_of_instances,
    instances_of_slices,
)
from mmglan.evaluation.protocols import Protocol


def detection_set_of_slices(
    images: GroundTruth,
    results: Results,
    volumes: VolumeGroundTruth,
    protocol: Protocol,
    stacking: Stacking | None = None,
) -> DetectionSet | None:
    """Build the set of 3D masks from masks on slices, stacked by their boxes.

    Args:
        images: Whole volumes, their lesions with masks and the number of the 3D lesion (`lesion`).
        results: Masks of a detector.
        volumes: 3D lesions of the same volumes.
        protocol: Decides which overlaps are needed.
        stacking: How; default as in the paper.

    Returns:
        None where the annotations do not say which 3D lesion they are of.
    """
    gt: dict[str, dict[int, dict[int, dict]]] = {volume_id: {} for volume_id in volumes.ids}
    for image, lesions in zip(images.images, images.lesions, strict=True):
        for lesion in lesions:
            if lesion.get("lesion") is None or not lesion.get("segmentation"):
                return None
            of_volume = gt.get(str(image.get("volume_id")))
            if of_volume is not None:
                code = rle_of(image, lesion)
                of_volume.setdefault(lesion["lesion"], {})[int(image["slice_index"])] = code
    stacks, masks = stack_results(images, results, volumes.ids, stacking)
    found = [
        instances_of_slices(stack, codes, dict(sorted(gt[volume_id].items())))
        for stack, codes, volume_id in zip(stacks, masks, volumes.ids, strict=True)
    ]
    return detection_set_of_masks(volumes, found, protocol)


def detection_set_of_masks(
    volumes: VolumeGroundTruth, found: Sequence[VolumeInstances], protocol: Protocol
) -> DetectionSet:
    """Build the set of 3D masks, one entry of `found` per volume, under a protocol."""
    lesions = [len(one.gt) for one in found]
    known = [len(axes) for axes in volumes.short_axis_mm]
    # The JSON file may hold other lesions than the label maps (a divided volume); then no sizes.
    axes = (
        np.concatenate([*volumes.short_axis_mm, np.zeros(0)])
        if lesions == known
        else np.full(sum(lesions), np.nan)
    )
    return detection_set_of_instances(
        found,
        volumes.patient,
        axes,
        [criterion.overlap for criterion in protocol.criteria_3d],
        spacing_mm=_spacing(volumes, protocol),
    )


def detection_set_of_volumes(
    volumes: VolumeGroundTruth, boxes: list[np.ndarray], protocol: Protocol
) -> DetectionSet:
    """Build the set of 3D boxes, for each volume `(n, 7)`, under a protocol."""
    return detection_set_of_boxes(
        boxes,
        volumes.boxes,
        volumes.patient,
        np.concatenate([*volumes.short_axis_mm, np.zeros(0)]),
        [criterion.overlap for criterion in protocol.criteria_3d],
        spacing_mm=_spacing(volumes, protocol),
        ignored=volumes.ignored,
        ignore_overlap=protocol.ignore_overlap(3),
    )


def _spacing(volumes, protocol):
    if not protocol.in_mm:
        return None
    if np.isnan(volumes.spacing_mm).any():
        raise ValueError(
            f"{volumes.name}: Expected spacing_mm of every volume for a protocol in millimetres"
        )
    return volumes.spacing_mm
