"""Detection sets in volumes: 3D boxes, and voxel instances against voxel instances.

Letters: I volumes, n predictions and m lesions of one volume. Boxes are x1, y1, z1, x2, y2, z2 in
voxels of the axial grid, upper corners where the box ends (inclusive boxes + 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_utils
from scipy import ndimage

from data_prep.volumes.labelled_voxels import LabelledVoxels, labelled_voxels
from mmglan.detections.box_overlaps import box_pairs, matrix_pairs, shares_on_regions
from mmglan.detections.stacking import Stacks
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.froc import flatten_gt, flatten_predictions


@dataclass(frozen=True, eq=False)
class VolumeInstances:
    """Voxel instances of one volume and how they overlap.

    Attributes:
        predictions: `(n, 7)` boxes and score.
        gt: `(m, 6)` boxes.
        intersection: `(n, m)` common voxels.
        pred_size: `(n,)` voxels.
        gt_size: `(m,)` voxels.
    """

    predictions: np.ndarray
    gt: np.ndarray
    intersection: np.ndarray
    pred_size: np.ndarray
    gt_size: np.ndarray

    def overlap(self, kind: str) -> np.ndarray:
        """Compute `(n, m)` IoU, IoBB or IoGT of the voxels."""
        if kind == "iobb":
            whole = np.broadcast_to(self.pred_size[:, None], self.intersection.shape)
        elif kind == "iogt":
            whole = np.broadcast_to(self.gt_size[None], self.intersection.shape)
        else:
            whole = self.pred_size[:, None] + self.gt_size[None] - self.intersection
        return np.divide(
            self.intersection, whole, out=np.zeros(self.intersection.shape), where=whole > 0
        )


def detection_set_of_boxes(
    predictions: Sequence[np.ndarray],
    gt: Sequence[np.ndarray],
    patient: np.ndarray,
    short_axis_mm: np.ndarray,
    overlaps: Iterable[str] = ("iou",),
    *,
    spacing_mm: np.ndarray | None = None,
    ignored: Sequence[np.ndarray] | None = None,
    ignore_overlap: str = "iobb",
) -> DetectionSet:
    """Build the detection set of 3D boxes.

    Args:
        predictions: For each volume `(n, 7)` boxes and score.
        gt: For each volume `(m, 6)` boxes.
        patient: `(I,)` index of each volume's patient.
        short_axis_mm: `(M,)` short axes of all lesions, by volume; NaN where unknown.
        overlaps: Kinds of overlap that are needed besides IoU.
        spacing_mm: `(I, 3)` x, y, z; given only for protocols in millimetres.
        ignored: For each volume `(r, 6)` boxes of findings to ignore.
        ignore_overlap: Kind of overlap that puts a prediction on one, see
            `Protocol.ignore_overlap`.
    """
    boxes, scores, image = flatten_predictions(predictions, 3)
    lesions, counts = flatten_gt(gt, 3)
    gt_image = np.repeat(np.arange(len(counts)), counts)
    on_ignored = None
    if ignored is not None and any(map(len, ignored)):
        regions, region_counts = flatten_gt(ignored, 3, "ignored")
        region_image = np.repeat(np.arange(len(region_counts)), region_counts)
        on_ignored = shares_on_regions(
            _scaled(boxes, image, spacing_mm),
            image,
            _scaled(regions, region_image, spacing_mm),
            region_counts,
            kind=ignore_overlap,
        )
    return DetectionSet(
        kind="bbox3d",
        dims=3,
        patient=np.asarray(patient, dtype=int),
        scores=scores,
        pred_image=image,
        gt_image=gt_image,
        overlaps=_box_overlaps(
            ["iou", *overlaps], boxes, image, lesions, gt_image, counts, spacing_mm
        ),
        short_axis_mm=np.asarray(short_axis_mm, dtype=np.float64),
        on_ignored=on_ignored,
    )


def detection_set_of_instances(
    volumes: Sequence[VolumeInstances],
    patient: np.ndarray,
    short_axis_mm: np.ndarray,
    overlaps: Iterable[str] = ("iou",),
    *,
    spacing_mm: np.ndarray | None = None,
) -> DetectionSet:
    """Build the detection set of voxel instances; arguments as `detection_set_of_boxes`.

    The centre rules use the instances' boxes.
    """
    boxes, scores, image = flatten_predictions([v.predictions for v in volumes], 3)
    lesions, counts = flatten_gt([v.gt for v in volumes], 3)
    gt_image = np.repeat(np.arange(len(counts)), counts)
    kinds = dict.fromkeys(["iou", *overlaps])
    voxel_kinds = [kind for kind in kinds if kind in ("iou", "iobb", "iogt")]
    box_kinds = [kind for kind in kinds if kind not in voxel_kinds]
    return DetectionSet(
        kind="segm3d",
        dims=3,
        patient=np.asarray(patient, dtype=int),
        scores=scores,
        pred_image=image,
        gt_image=gt_image,
        overlaps={k: matrix_pairs([v.overlap(k) for v in volumes]) for k in voxel_kinds}
        | _box_overlaps(box_kinds, boxes, image, lesions, gt_image, counts, spacing_mm),
        short_axis_mm=np.asarray(short_axis_mm, dtype=np.float64),
    )


def instances_of_labels(
    predicted: np.ndarray, gt: np.ndarray, scores: Mapping[int, float] | None = None
) -> VolumeInstances:
    """Compare the instances of two label maps on one grid.

    Args:
        predicted: `(Z, Y, X)` whole numbers, 0 background, one label per detection.
        gt: `(Z, Y, X)`, one label per lesion.
        scores: Confidence by label; without it every detection has 1.

    Raises:
        ValueError: Different grids, or a label without a score.
    """
    if predicted.shape != gt.shape:
        raise ValueError(
            f"Expected label maps on one grid but got {predicted.shape} and {gt.shape}"
        )
    return instances_of_voxels(labelled_voxels(predicted), labelled_voxels(gt), scores)


def instances_of_voxels(
    found: LabelledVoxels, true: LabelledVoxels, scores: Mapping[int, float] | None = None
) -> VolumeInstances:
    """Compare the instances of two label maps on one grid; see `instances_of_labels`."""
    pred_labels = found.labels
    # Both lists of voxels rise, so common voxels are found by search.
    place = np.searchsorted(true.index, found.index)
    common = np.append(true.index, -1)[place] == found.index
    pairs = found.number[common] * len(true.labels) + true.number[place[common]]
    shape = len(pred_labels), len(true.labels)
    intersection = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    if scores is None:
        confidence = np.ones(len(pred_labels))
    else:
        absent = [int(label) for label in pred_labels if int(label) not in scores]
        if absent:
            raise ValueError(f"Expected a score for every label but got none for {absent}")
        confidence = np.array([scores[int(label)] for label in pred_labels], dtype=np.float64)
    return VolumeInstances(
        predictions=np.column_stack([found.boxes, confidence]),
        gt=true.boxes.astype(np.float64),
        intersection=intersection.astype(np.float64),
        pred_size=found.sizes.astype(np.float64),
        gt_size=true.sizes.astype(np.float64),
    )


def instances_of_stacks(
    stacks: Stacks, masks: Mapping[tuple[int, int], dict], gt: np.ndarray
) -> VolumeInstances:
    """Compare the instances of stacked 2D masks with a label map.

    Args:
        stacks: Result of stacking the boxes.
        masks: Run-length code of each (slice, row); size (Y, X).
        gt: `(Z, Y, X)` label map.
    """
    true = labelled_voxels(gt)
    codes = np.zeros(gt.shape, dtype=np.int32)  # 0 background, else 1 + place of the label
    codes.flat[true.index] = true.number + 1
    table = np.zeros((len(stacks.members), len(true.labels) + 1))
    for number, members in enumerate(stacks.members):
        for index, row in members:
            mask = mask_utils.decode(masks[index, row]).astype(bool)
            if not 0 <= index < len(gt) or mask.shape != gt.shape[1:]:
                raise ValueError(
                    f"slice {index}: Expected a mask on the grid {gt.shape} of the ground truth "
                    f"but got {mask.shape}"
                )
            table[number] += np.bincount(codes[index][mask], minlength=table.shape[1])
    return VolumeInstances(
        predictions=stacks.boxes,
        gt=true.boxes.astype(np.float64),
        intersection=table[:, 1:],
        pred_size=table.sum(axis=1),
        gt_size=true.sizes.astype(np.float64),
    )


def instances_of_slices(
    stacks: Stacks,
    masks: Mapping[tuple[int, int], dict],
    gt: Mapping[int, Mapping[int, dict]],
) -> VolumeInstances:
    """Compare the instances of stacked 2D masks with lesions known by their masks on the slices.

    Args:
        stacks: Result of stacking the boxes.
        masks: Run-length code of each (slice, row).
        gt: For each lesion, in the order wanted, the run-length code on each of its slices.
    """
    intersection = np.zeros((len(stacks.members), len(gt)))
    pred_size = np.zeros(len(stacks.members))
    gt_size, boxes = np.zeros(len(gt)), np.zeros((len(gt), 6))
    for place, codes in enumerate(gt.values()):
        x, y, width, height = mask_utils.toBbox(list(codes.values())).T
        boxes[place] = [x.min(), y.min(), min(codes), (x + width).max(), (y + height).max(), 0]
        boxes[place, 5] = max(codes) + 1
        gt_size[place] = mask_utils.area(list(codes.values())).sum()
    for number, members in enumerate(stacks.members):
        for index, row in members:
            mask = masks[index, row]
            pred_size[number] += mask_utils.area(mask)
            for place, codes in enumerate(gt.values()):
                if index in codes:
                    both = mask_utils.merge([mask, codes[index]], intersect=True)
                    intersection[number, place] += mask_utils.area(both)
    return VolumeInstances(stacks.boxes, boxes, intersection, pred_size, gt_size)


def connected_instances(labels: np.ndarray) -> np.ndarray:
    """Number the connected components (26 neighbours) of everything above 0."""
    found = np.zeros(labels.shape, dtype=np.int32)
    sides = [np.flatnonzero(labels.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not len(sides[0]):
        return found
    inside = tuple(slice(side[0], side[-1] + 1) for side in sides)
    found[inside] = ndimage.label(labels[inside] > 0, structure=np.ones((3, 3, 3)))[0]
    return found


def _box_overlaps(kinds, boxes, image, lesions, gt_image, counts, spacing_mm):
    boxes, lesions = _scaled(boxes, image, spacing_mm), _scaled(lesions, gt_image, spacing_mm)
    return {
        kind: box_pairs(boxes, image, lesions, counts, kind=kind) for kind in dict.fromkeys(kinds)
    }


def _scaled(boxes, image, spacing_mm):
    """Scale voxels to millimetres where there is a spacing."""
    if spacing_mm is None:
        return boxes
    return boxes * np.tile(np.asarray(spacing_mm, dtype=np.float64), 2)[image]
