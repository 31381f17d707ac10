"""COCO annotation and result files, read and checked, and turned into cases."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from mmglan.detections.box_overlaps import box_pairs, matrix_pairs
from mmglan.detections.coco_masks import rle_of
from mmglan.detections.value_checks import check_size, check_spacing, finite_numbers
from mmglan.evaluation.detection_set import DetectionSet


@dataclass
class GroundTruth:
    """A COCO annotation file.

    Attributes:
        name: File name, for messages.
        images: COCO image records, by rising id.
        lesions: For each image its annotations.
        patients: Names, sorted; an image without `patient_id` is a patient of its own.
    """

    name: str
    images: list[dict]
    lesions: list[list[dict]]
    patients: list[str] = field(init=False)
    position: dict[int, int] = field(init=False)

    def __post_init__(self):
        self.position = {image["id"]: index for index, image in enumerate(self.images)}
        self.patients = sorted({self.patient_of(image) for image in self.images})

    @staticmethod
    def patient_of(image: dict) -> str:
        """Patient of an image record."""
        patient = image.get("patient_id")
        return f"image {image['id']}" if patient in (None, "") else str(patient)

    @property
    def has_patients(self) -> bool:
        """Whether every image names its patient."""
        return all(image.get("patient_id") not in (None, "") for image in self.images)

    @property
    def has_masks(self) -> bool:
        """Whether every lesion has a segmentation."""
        return all(lesion.get("segmentation") for rows in self.lesions for lesion in rows)


def read_json(path: str | Path):
    """Reads a JSON file; errors name the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: Expected a JSON file but there is no such file.")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path.name}: Expected JSON but got {error}") from error


def read_ground_truth(path: str | Path) -> GroundTruth:
    """Reads a COCO annotation file.

    Raises:
        ValueError: Not COCO, an image or annotation that cannot be used, an id that repeats, an
            annotation of an unknown image, or one that is not a single lesion that counts.
    """
    name, data = Path(path).name, read_json(path)
    if not isinstance(data, dict) or not all(
        isinstance(data.get(part), list) for part in ("images", "annotations")
    ):
        raise ValueError(f"{name}: Expected a COCO file with lists of images and annotations")
    for row, image in enumerate(data["images"]):
        _check_image(image, f"{name}: images[{row}]")
    images = sorted(data["images"], key=lambda i: (isinstance(i["id"], str), i["id"]))
    gt = GroundTruth(name, images, [[] for _ in images])
    if len(gt.position) != len(images):
        raise ValueError(f"{name}: Expected distinct image ids but some repeat")
    seen = set()
    for row, annotation in enumerate(data["annotations"]):
        where = f"{name}: annotations[{row}]"
        place = position_of(annotation, gt)
        if place is None:
            raise ValueError(
                f"{where}: Expected the id of an image of this file but got {_found(annotation)}"
            )
        _check_record(annotation, where)
        check_size(annotation, where)
        for flag, meaning in (("iscrowd", "a crowd region"), ("ignore", "one that is ignored")):
            if annotation.get(flag):
                raise ValueError(
                    f"{where}: Expected single lesions that count but got {meaning} "
                    f"({flag} {annotation[flag]}); remove it"
                )
        if annotation.get("id") in seen:
            raise ValueError(
                f"{where}: Expected distinct annotation ids but got {annotation['id']} again"
            )
        seen |= {annotation["id"]} if annotation.get("id") is not None else set()
        gt.lesions[place].append(annotation)
    return gt


def group_results(results: Iterable[dict], gt: GroundTruth, name: str = "results"):
    """Sorts COCO results by image.

    Returns:
        list[list[dict]]: For each image of `gt` its results, in their order.

    Raises:
        ValueError: A result of an unknown image, or without a finite score and box.
    """
    grouped: list[list[dict]] = [[] for _ in gt.images]
    for row, result in enumerate(results):
        place = position_of(result, gt)
        if place is None:
            raise ValueError(
                f"{name}: result {row}: Expected the id of an image of {gt.name} "
                f"but got {_found(result)}"
            )
        _check_record(result, f"{name}: result {row}")
        if not finite_numbers([result.get("score")], 1):
            raise ValueError(
                f"{name}: result {row}: Expected a finite score but got {result.get('score')!r}"
            )
        grouped[place].append(result)
    return grouped


def position_of(record: dict, gt: GroundTruth) -> int | None:
    """Position of a record's image, None if there is none; `True` is no id 1."""
    image_id = record.get("image_id") if isinstance(record, dict) else None
    return gt.position.get(image_id) if _is_id(image_id) else None


def _is_id(value):
    return isinstance(value, (Real, str)) and not isinstance(value, bool)


def _found(record):
    return f"image_id {record.get('image_id')!r}" if isinstance(record, dict) else repr(record)


def _check_image(image, where: str):
    image_id = image.get("id") if isinstance(image, dict) else None
    if not _is_id(image_id):
        found = repr(image_id) if isinstance(image, dict) else repr(image)
        raise ValueError(f"{where}: Expected an image with a number or text as id but got {found}")
    check_spacing(image.get("spacing_mm"), where, "x, y(, z)", (2, 3))


def _check_record(record: dict, where: str):
    """A result or annotation needs a box of four numbers x, y, width, height."""
    box = record.get("bbox")
    if not finite_numbers(box, 4) or min(box[2:]) < 0:
        raise ValueError(f"{where}: Expected bbox as x, y, width, height >= 0 but got {box!r}")


def short_axis_mm(image: dict, annotation: dict) -> float:
    """Short axis: as annotated, else of the RECIST segments, else of the box; NaN if unknown."""
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
    overlaps: Iterable[str] = ("iou",),
    *,
    in_mm: bool = False,
    name: str = "results",
) -> DetectionSet:
    """DetectionSet of boxes (`kind='bbox'`) or masks (`'segm'`) on images; `name` is for messages.

    IoU is computed by pycocotools, so that AP is COCO's to the last bit; `iobb` and `iogt` of
    masks too. The centre rules use the boxes, for masks the boxes of the masks.
    """
    pred_image = np.repeat(np.arange(len(grouped)), [len(rows) for rows in grouped])
    gt_image = np.repeat(np.arange(len(grouped)), [len(rows) for rows in gt.lesions])
    pairs = {}
    for overlap in dict.fromkeys(["iou", *overlaps]):
        if overlap == "iou" or (kind == "segm" and overlap in ("iobb", "iogt")):
            field_name = "bbox" if kind == "bbox" else "segmentation"
            pairs[overlap] = matrix_pairs(
                [
                    _matrix(image, rows, lesions, field_name, overlap, (name, gt.name))
                    for image, rows, lesions in zip(gt.images, grouped, gt.lesions, strict=True)
                ]
            )
        else:
            scale = _scales(gt) if in_mm else np.ones((len(grouped), 4))
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
    )


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
