"""Detection sets on images: boxes or masks of COCO results against COCO annotations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as mask_utils

from mmglan.detections.box_overlaps import box_pairs, matrix_pairs, shares_on_regions
from mmglan.detections.coco_files import GroundTruth
from mmglan.detections.coco_masks import rle_of
from mmglan.detections.coco_results import Results
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.protocols import Protocol, get_protocol


def short_axis_mm(image: dict, annotation: dict) -> float:
    """Return the short axis as annotated, else of the RECIST segments, else of the box.

    NaN where it is unknown.
    """
    if annotation.get("short_axis_mm"):
        return float(annotation["short_axis_mm"])
    if not image.get("spacing_mm"):
        return float("nan")
    spacing = np.asarray(image["spacing_mm"][:2], dtype=np.float64)
    if annotation.get("recist"):
        ends = np.reshape(annotation["recist"], (2, 2, 2)).astype(np.float64)
        return float(np.linalg.norm((ends[:, 1] - ends[:, 0]) * spacing, axis=1).min())
    return float((np.asarray(annotation["bbox"][2:]) * spacing).min())


def detection_set_of_images(
    gt: GroundTruth,
    results: Results,
    kind: str,
    protocol: str | Protocol = "deeplesion",
    *,
    name: str = "results",
) -> DetectionSet:
    """Build the detection set of boxes or masks on images.

    IoU is computed by pycocotools, so that AP is COCO's; `iobb` and `iogt` of masks too. The
    centre rules use the boxes, for masks the boxes of the masks.

    Args:
        gt: Ground truth.
        results: Of the detector.
        kind: `'bbox'` or `'segm'`.
        protocol: Decides which overlaps are computed besides IoU.
        name: Of the results, for messages.

    Raises:
        ValueError: A mask that cannot be read, or no spacing for a protocol in millimetres.
    """
    protocol = get_protocol(protocol)
    scales = _scales(gt) if protocol.in_mm else np.ones((len(gt.images), 4))
    counts = np.array(list(map(len, gt.lesions)), dtype=np.int64)
    found = [results.boxes[part] for part in results.slices(len(gt.images))]
    if kind == "segm":
        masks = results.masks or [None] * len(results)
        rows = [
            [{"segmentation": mask} for mask in masks[part]]
            for part in results.slices(len(gt.images))
        ]
        found = _codes(gt, rows, name)
    lesions = _codes(gt, gt.lesions, gt.name) if kind == "segm" else _boxes(gt.lesions)
    pairs = {}
    for overlap in dict.fromkeys(["iou", *(one.overlap for one in protocol.criteria_2d)]):
        if overlap == "iou" or (kind == "segm" and overlap in ("iobb", "iogt")):
            sides = zip(found, lesions, strict=True)
            pairs[overlap] = matrix_pairs([_matrix(*shapes, overlap) for shapes in sides])
        else:
            pred, gt_boxes = _corners(found, scales), _corners(lesions, scales)
            pairs[overlap] = box_pairs(pred, results.image, gt_boxes, counts, kind=overlap)
    index = {name: number for number, name in enumerate(gt.patients)}
    sizes = [
        short_axis_mm(image, lesion)
        for image, rows in zip(gt.images, gt.lesions, strict=True)
        for lesion in rows
    ]
    return DetectionSet(
        kind=kind,
        dims=2,
        patient=np.array([index[gt.patient_of(image)] for image in gt.images], dtype=int),
        scores=results.scores,
        pred_image=results.image,
        gt_image=np.repeat(np.arange(len(gt.images)), counts),
        overlaps=pairs,
        short_axis_mm=np.array(sizes, dtype=np.float64),
        on_ignored=_on_ignored(gt, results, found, protocol, scales) if any(gt.regions) else None,
    )


def _on_ignored(gt, results, found, protocol, scales):
    """Overlap of each prediction with a region to ignore, `(N,)`."""
    overlap, boxes = protocol.ignore_overlap(2), _boxes(gt.regions)
    if overlap != "iobb":
        counts = np.array(list(map(len, gt.regions)), dtype=np.int64)
        sides = _corners(found, scales), results.image, _corners(boxes, scales), counts
        return shares_on_regions(*sides, kind=overlap)
    shares = []
    for image, shapes, rows, region_boxes in zip(gt.images, found, gt.regions, boxes, strict=True):
        regions = region_boxes
        if isinstance(shapes, list):
            if all(row.get("segmentation") for row in rows):
                regions = _codes_of_image(image, rows, gt.name)
            else:
                shapes = _boxes_of(shapes)
        shares.append(_matrix(shapes, regions, "iobb").max(axis=1, initial=0.0))
    return np.concatenate(shares)


# Shapes of an image are boxes `(n, 4)` x, y, width, height, or a list of run-length codes.
def _boxes(grouped: Sequence[Sequence[dict]]) -> list[np.ndarray]:
    boxes = [[row["bbox"] for row in rows] for rows in grouped]
    return [np.array(one, dtype=np.float64).reshape(-1, 4) for one in boxes]


def _codes(gt, grouped, name) -> list[list[dict]]:
    pairs = zip(gt.images, grouped, strict=True)
    return [_codes_of_image(image, rows, name) for image, rows in pairs]


def _codes_of_image(image, rows, name) -> list[dict]:
    try:
        return [rle_of(image, row) for row in rows]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _boxes_of(shapes) -> np.ndarray:
    if isinstance(shapes, list):
        return np.reshape([mask_utils.toBbox(code) for code in shapes], (-1, 4))
    return shapes


def _matrix(one, other, overlap) -> np.ndarray:
    if not len(one) or not len(other):
        return np.zeros((len(one), len(other)))
    # A crowd region asks pycocotools for the intersection over the first one's size.
    if overlap == "iobb":
        return np.asarray(mask_utils.iou(one, other, [1] * len(other)))
    if overlap == "iogt":
        return np.asarray(mask_utils.iou(other, one, [1] * len(one))).T
    return np.asarray(mask_utils.iou(one, other, [0] * len(other)))


def _corners(found, scales) -> np.ndarray:
    """Return `(N, 4)` corners of the shapes of all images, by their image's scale."""
    boxes = [_boxes_of(shapes) for shapes in found]
    scale = np.repeat(scales, list(map(len, boxes)), axis=0)
    boxes = np.concatenate([*boxes, np.zeros((0, 4))])
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]) * scale


def _scales(gt) -> np.ndarray:
    """Return `(I, 4)` millimetres per pixel."""
    for image in gt.images:
        if not image.get("spacing_mm"):
            raise ValueError(
                f"{gt.name}: image {image['id']}: Expected spacing_mm for a protocol in "
                "millimetres but there is none"
            )
    spacing = [image["spacing_mm"][:2] * 2 for image in gt.images]
    return np.array(spacing, dtype=np.float64).reshape(-1, 4)
