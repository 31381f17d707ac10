"""From files of any detector to cases: what `evaluate.py` and `compare.py` share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from mmglan.detections.coco_files import (
    GroundTruth,
    detection_set_of_images,
    group_results,
    position_of,
    read_ground_truth,
    read_json,
)
from mmglan.detections.coco_masks import rle_of
from mmglan.detections.volume_files import (
    VolumeGroundTruth,
    read_boxes_3d,
    read_volumes,
    stack_results,
    warn_of_parts,
)
from mmglan.evaluation.detection_set import DetectionSet
from mmglan.evaluation.detection_set_3d import detection_set_of_boxes, detection_set_of_instances
from mmglan.evaluation.label_maps import (
    compare_label_maps,
    gt_of_label_maps,
    read_ids,
    read_scores,
)
from mmglan.evaluation.protocols import Protocol
from mmglan.evaluation.text_table import KIND_WORDS


@dataclass
class GroundTruthFiles:
    """Truth as named on the command line; at least one is given.

    Attributes:
        gt: COCO annotation file.
        volumes: `volumes_<split>.json`.
        gt_masks: Folder of true label maps, `<volume_id>.nii.gz`.
        ids: table of `data_prep.prepare --ids`, if label maps are named as the source volumes.
    """

    gt: Path | None = None
    volumes: Path | None = None
    gt_masks: Path | None = None
    ids: Path | None = None

    def read(self) -> tuple[GroundTruth | None, VolumeGroundTruth | None]:
        """Reads images' and volumes' ground truth."""
        images = read_ground_truth(self.gt) if self.gt else None
        if self.volumes:
            return images, read_volumes(self.volumes)
        return images, gt_of_label_maps(self.gt_masks) if self.gt_masks else None


def load_detection_sets(
    files: GroundTruthFiles,
    gt: tuple[GroundTruth | None, VolumeGroundTruth | None],
    predictions: Sequence[Path],
    protocol: Protocol,
    *,
    scores: Path | None = None,
    components: bool = False,
    stack_iou: float = 0.1,
) -> list[DetectionSet]:
    """Reads predictions of one detector.

    Args:
        files: Where the ground truth is.
        gt: What `files.read()` gave.
        predictions: COCO result files of boxes and of masks, a JSON file of 3D boxes
            (`volume_id`, `box3d`, `score`), or a folder of label maps.
        protocol: Decides which overlaps are needed.
        scores: CSV of the label maps' confidences.
        components: Label maps are masks, not instances.
        stack_iou: IoU above which 2D results on neighbouring slices are stacked.

    Returns:
        list[DetectionSet]: Boxes, masks, 3D boxes, 3D masks, as far as there are predictions and ground truth.

    Raises:
        ValueError: A file that cannot be used, or predictions without ground truth to compare with.
    """
    images, volumes = gt
    cases, stacked = [], {}
    for path in predictions:
        path = Path(path)
        if path.is_dir():
            cases.append(_set_of_label_maps(files, volumes, path, protocol, scores, components))
            continue
        rows = read_json(path)
        if not isinstance(rows, list):
            raise ValueError(f"{path.name}: Expected a list of results")
        kind = _kind_of(rows, path)
        if kind == "bbox3d":
            if volumes is None:
                raise ValueError(f"{path.name}: Expected --volumes to compare 3D boxes with")
            boxes = read_boxes_3d(rows, volumes, path.name)
            cases.append(detection_set_of_volumes(volumes, boxes, protocol))
            continue
        if images is None:
            raise ValueError(f"{path.name}: Expected --gt to compare COCO results with")
        grouped = group_results(_with_boxes(rows, images, kind), images, path.name)
        kinds = [criterion.overlap for criterion in protocol.criteria_2d]
        cases.append(
            detection_set_of_images(
                images, grouped, kind, kinds, in_mm=protocol.in_mm, name=path.name
            )
        )
        stacked[kind] = grouped
    if volumes is not None and stacked:
        warn_of_parts(images, volumes)
        grouped = stacked.get("segm", stacked.get("bbox"))
        stacks, masks = stack_results(images, grouped, volumes.ids, stack_iou)
        cases.append(detection_set_of_volumes(volumes, [one.boxes for one in stacks], protocol))
        if files.gt_masks and "segm" in stacked:
            ids = read_ids(files.ids) if files.ids else None
            found = compare_label_maps(volumes, files.gt_masks, stacks=stacks, masks=masks, ids=ids)
            cases.append(_set_of_instances(volumes, found, protocol))
    kinds = [one.kind for one in cases]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ValueError(
                f"Expected one set of {KIND_WORDS[kind]} of one detector but got "
                f"{kinds.count(kind)} from {', '.join(str(path) for path in predictions)}; "
                "evaluate them one after the other (with --volumes, 2D results become 3D boxes too)"
            )
    return cases


def _kind_of(rows, path):
    if any(isinstance(row, dict) and "box3d" in row for row in rows):
        return "bbox3d"
    if any(isinstance(row, dict) and "segmentation" in row for row in rows):
        return "segm"
    return "segm" if not rows and ".segm" in path.name else "bbox"


def _with_boxes(rows, images, kind):
    """Masks without a box get the box of the mask, for stacking."""
    if kind != "segm":
        return rows
    complete = []
    for row in rows:
        place = position_of(row, images)
        if place is not None and "bbox" not in row and "segmentation" in row:
            row = row | {"bbox": mask_utils.toBbox(rle_of(images.images[place], row)).tolist()}
        complete.append(row)
    return complete


def _set_of_label_maps(files, volumes, folder, protocol, scores, components):
    if not files.gt_masks:
        raise ValueError(f"{folder.name}: Expected --gt-masks to compare label maps with")
    found = compare_label_maps(
        volumes,
        files.gt_masks,
        predicted_folder=folder,
        scores=read_scores(scores) if scores else None,
        components=components,
        ids=read_ids(files.ids) if files.ids else None,
    )
    return _set_of_instances(volumes, found, protocol)


def _set_of_instances(volumes, found, protocol):
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
    """DetectionSet of 3D boxes, for each volume `(n, 7)`, under a protocol."""
    return detection_set_of_boxes(
        boxes,
        volumes.boxes,
        volumes.patient,
        np.concatenate([*volumes.short_axis_mm, np.zeros(0)]),
        [criterion.overlap for criterion in protocol.criteria_3d],
        spacing_mm=_spacing(volumes, protocol),
    )


def _spacing(volumes, protocol):
    if not protocol.in_mm:
        return None
    if np.isnan(volumes.spacing_mm).any():
        raise ValueError(
            f"{volumes.name}: Expected spacing_mm of every volume for a protocol in millimetres"
        )
    return volumes.spacing_mm
