"""Detection sets on images: boxes or masks of COCO results against COCO annotations."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as mask_utils

from mmglan.detections.box_overlaps import box_pairs, matrix_pairs, shares_on_regions
from mmglan.detections.coco_files import GroundTruth
from mmglan.detections.coco_masks import rle_of
from mmglan.evaluation.detection_set import DetectionSet
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
    grouped: list[list[dict]],
    kind: str,
    protocol: str | Protocol = "deeplesion",
    *,
    name: str = "results",
) -> DetectionSet:
    """Build the detection set of boxes or masks on images.

    IoU is computed by pycocotools, so that AP is COCO's to the last bit; `iobb` and `iogt` of
    masks too. The centre rules use the boxes, for masks the boxes of the masks.

    Args:
        gt: Ground truth.
        grouped: For each image its results, see `mmglan.detections.coco_files.group_results`.
        kind: `'bbox'` or `'segm'`.
        protocol: Decides which overlaps are computed besides IoU.
        name: Of the results, for messages.

    Raises:
        ValueError: A mask that cannot be read, or no spacing for a protocol in millimetres.
    """
    protocol = get_protocol(protocol)
    pred_image = np.repeat(np.arange(len(grouped)), [len(rows) for rows in grouped])
    gt_image = np.repeat(np.arange(len(grouped)), [len(rows) for rows in gt.lesions])
    pairs = {}
    for overlap in dict.fromkeys(["iou", *(one.overlap for one in protocol.criteria_2d)]):
        if overlap == "iou" or (kind == "segm" and overlap in ("iobb", "iogt")):
            field_name = "bbox" if kind == "bbox" else "segmentation"
            pairs[overlap] = matrix_pairs(
                [
                    _matrix(image, rows, lesions, field_name, overlap, (name, gt.name))
                    for image, rows, lesions in zip(gt.images, grouped, gt.lesions, strict=True)
                ]
            )
        else:
            scale = _scales(gt) if protocol.in_mm else np.ones((len(grouped), 4))
            counts = np.array([len(rows) for rows in gt.lesions], dtype=np.int64)
            pairs[overlap] = box_pairs(
                _corners(grouped, gt.images, kind) * scale[pred_image],
                pred_image,
                _corners(gt.lesions, gt.images, kind) * scale[gt_image],
                counts,
                kind=overlap,
            )
    index = {name: number for number, name in enumerate(gt.patients)}
    sizes = [
        short_axis_mm(image, lesion)
        for image, lesions in zip(gt.images, gt.lesions, strict=True)
        for lesion in lesions
    ]
    return DetectionSet(
        kind=kind,
        dims=2,
        patient=np.array([index[gt.patient_of(image)] for image in gt.images], dtype=int),
        scores=np.array([row["score"] for rows in grouped for row in rows], dtype=np.float64),
        pred_image=pred_image,
        gt_image=gt_image,
        overlaps=pairs,
        short_axis_mm=np.array(sizes, dtype=np.float64),
        on_ignored=_on_ignored(gt, grouped, kind, protocol, name),
    )


def _on_ignored(gt, grouped, kind, protocol, name):
    """Overlap of each prediction with a region to ignore, `(N,)`; None without regions."""
    if not any(gt.regions):
        return None
    overlap = protocol.ignore_overlap(2)
    if overlap != "iobb":
        scale = _scales(gt) if protocol.in_mm else np.ones((len(grouped), 4))
        counts = [np.array([len(rows) for rows in side]) for side in (grouped, gt.regions)]
        of_pred, of_region = (np.repeat(np.arange(len(grouped)), count) for count in counts)
        return shares_on_regions(
            _corners(grouped, gt.images, kind) * scale[of_pred],
            of_pred,
            _corners(gt.regions, gt.images, "bbox") * scale[of_region],
            counts[1],
            kind=overlap,
        )
    shares = []
    for image, rows, regions in zip(gt.images, grouped, gt.regions, strict=True):
        masks = kind == "segm" and all(region.get("segmentation") for region in regions)
        field_name = "segmentation" if masks else "bbox"
        if kind == "segm" and not masks:
            boxes = [mask_utils.toBbox(rle_of(image, row)).tolist() for row in rows]
            rows = [{"bbox": box} for box in boxes]
        inside = _matrix(image, rows, regions, field_name, "iobb", (name, gt.name))
        shares.append(inside.max(axis=1, initial=0.0))
    return np.concatenate(shares)


def _matrix(image, rows, lesions, field_name, overlap, names):
    if not rows or not lesions:
        return np.zeros((len(rows), len(lesions)))
    if field_name == "bbox":
        one, other = ([record["bbox"] for record in records] for records in (rows, lesions))
    else:
        one, other = map(_codes, (image, image), (rows, lesions), names)
    # A crowd region asks pycocotools for the intersection over the first one's size.
    if overlap == "iobb":
        return np.asarray(mask_utils.iou(one, other, [1] * len(other)))
    if overlap == "iogt":
        return np.asarray(mask_utils.iou(other, one, [1] * len(one))).T
    return np.asarray(mask_utils.iou(one, other, [0] * len(other)))


def _codes(image, records, name):
    try:
        return [rle_of(image, record) for record in records]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _corners(grouped, images, kind):
    boxes = [
        record["bbox"] if kind == "bbox" else mask_utils.toBbox(rle_of(image, record))
        for image, records in zip(images, grouped, strict=True)
        for record in records
    ]
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def _scales(gt):
    rows = []
    for image in gt.images:
        if not image.get("spacing_mm"):
            raise ValueError(
                f"{gt.name}: image {image['id']}: Expected spacing_mm for a protocol in "
                "millimetres but there is none"
            )
        rows.append(list(image["spacing_mm"][:2]) * 2)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
