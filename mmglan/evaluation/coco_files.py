"""COCO annotation and result files, read and checked, and turned into cases."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from mmglan.evaluation.cases import Cases
from mmglan.evaluation.overlaps import box_pairs, matrix_pairs


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
        return str(image.get("patient_id", f"image {image['id']}"))

    @property
    def has_patients(self) -> bool:
        """Whether every image names its patient."""
        return all("patient_id" in image for image in self.images)

    @property
    def has_masks(self) -> bool:
        """Whether every lesion has a segmentation."""
        return all(lesion.get("segmentation") for rows in self.lesions for lesion in rows)


def read_json(path: str | Path):
    """Reads a JSON file; errors name the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path.name}: Expected a JSON file but there is no such file")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path.name}: Expected JSON but got {error}") from error


def read_ground_truth(path: str | Path) -> GroundTruth:
    """Reads a COCO annotation file.

    Raises:
        ValueError: Not COCO, an annotation of an unknown image, or a crowd region.
    """
    name, data = Path(path).name, read_json(path)
    if not isinstance(data, dict) or not {"images", "annotations"} <= set(data):
        raise ValueError(f"{name}: Expected a COCO file with images and annotations")
    images = sorted(data["images"], key=lambda image: image["id"])
    truth = GroundTruth(name, images, [[] for _ in images])
    if len(truth.position) != len(images):
        raise ValueError(f"{name}: Expected distinct image ids but some repeat")
    for row, annotation in enumerate(data["annotations"]):
        if annotation.get("image_id") not in truth.position:
            raise ValueError(
                f"{name}: annotations[{row}]: Expected the id of an image of this file "
                f"but got image_id {annotation.get('image_id')}"
            )
        _check_record(annotation, f"{name}: annotations[{row}]")
        if annotation.get("iscrowd"):
            raise ValueError(
                f"{name}: annotations[{row}]: Expected single lesions but got a crowd region "
                "(iscrowd 1); remove it"
            )
        truth.lesions[truth.position[annotation["image_id"]]].append(annotation)
    return truth


def group_results(results: Iterable[dict], truth: GroundTruth, name: str = "results"):
    """Sorts COCO results by image.

    Returns:
        list[list[dict]]: For each image of `truth` its results, in their order.

    Raises:
        ValueError: A result of an unknown image, or without a finite score and box.
    """
    grouped: list[list[dict]] = [[] for _ in truth.images]
    for row, result in enumerate(results):
        if not isinstance(result, dict) or result.get("image_id") not in truth.position:
            found = result.get("image_id") if isinstance(result, dict) else result
            raise ValueError(
                f"{name}: result {row}: Expected the id of an image of {truth.name} "
                f"but got image_id {found}"
            )
        _check_record(result, f"{name}: result {row}")
        if not _finite([result.get("score")], 1):
            raise ValueError(
                f"{name}: result {row}: Expected a finite score but got {result.get('score')}"
            )
        grouped[truth.position[result["image_id"]]].append(result)
    return grouped


def _check_record(record: dict, where: str):
    """A result or annotation needs a box of four numbers x, y, width, height."""
    box = record.get("bbox")
    if not _finite(box, 4) or min(box[2:]) < 0:
        raise ValueError(f"{where}: Expected bbox as x, y, width, height but got {box}")


def _finite(values, count):
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return numbers.shape == (count,) and bool(np.isfinite(numbers).all())


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


def cases_of_images(
    truth: GroundTruth,
    grouped: list[list[dict]],
    kind: str,
    overlaps: Iterable[str] = ("iou",),
    *,
    in_mm: bool = False,
) -> Cases:
    """Cases of boxes (`kind='bbox'`) or masks (`'segm'`) on images.

    IoU is computed by pycocotools, so that AP is COCO's to the last bit; `iobb` and `iogt` of
    masks too. The centre rules use the boxes, for masks the boxes of the masks.
    """
    pred_image = np.repeat(np.arange(len(grouped)), [len(rows) for rows in grouped])
    truth_image = np.repeat(np.arange(len(grouped)), [len(rows) for rows in truth.lesions])
    pairs = {}
    for overlap in dict.fromkeys(["iou", *overlaps]):
        if overlap == "iou" or (kind == "segm" and overlap in ("iobb", "iogt")):
            field_name = "bbox" if kind == "bbox" else "segmentation"
            pairs[overlap] = matrix_pairs(
                [
                    _matrix(image, rows, lesions, field_name, overlap)
                    for image, rows, lesions in zip(
                        truth.images, grouped, truth.lesions, strict=True
                    )
                ]
            )
        else:
            scale = _scales(truth) if in_mm else np.ones((len(grouped), 4))
            counts = np.array([len(rows) for rows in truth.lesions], dtype=np.int64)
            pairs[overlap] = box_pairs(
                _corners(grouped, truth.images, kind) * scale[pred_image],
                pred_image,
                _corners(truth.lesions, truth.images, kind) * scale[truth_image],
                counts,
                kind=overlap,
            )
    index = {name: number for number, name in enumerate(truth.patients)}
    sizes = [
        short_axis_mm(image, lesion)
        for image, lesions in zip(truth.images, truth.lesions, strict=True)
        for lesion in lesions
    ]
    return Cases(
        kind=kind,
        dims=2,
        patient=np.array([index[truth.patient_of(image)] for image in truth.images], dtype=int),
        scores=np.array([row["score"] for rows in grouped for row in rows], dtype=np.float64),
        pred_image=pred_image,
        truth_image=truth_image,
        overlaps=pairs,
        short_axis_mm=np.array(sizes, dtype=np.float64),
    )


def rle_of(image: dict, record: dict) -> dict:
    """Run-length code of a result's or annotation's segmentation (polygons, counts or RLE).

    Raises:
        ValueError: No segmentation, or a mask of another size than the image.
    """
    segmentation = record.get("segmentation")
    if not segmentation:
        raise ValueError(
            f"image {image['id']}: Expected a segmentation of every lesion and result to compare "
            "masks but one has none"
        )
    height, width = image["height"], image["width"]
    if not isinstance(segmentation, dict):
        return mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(
            f"image {image['id']}: Expected a mask of {height} x {width} pixels but got "
            f"{' x '.join(map(str, segmentation['size']))}"
        )
    if isinstance(segmentation["counts"], (str, bytes)):
        return segmentation
    return mask_utils.frPyObjects(segmentation, height, width)


def _matrix(image, rows, lesions, field_name, overlap):
    if not rows or not lesions:
        return np.zeros((len(rows), len(lesions)))
    if field_name == "bbox":
        one, other = ([record["bbox"] for record in records] for records in (rows, lesions))
    else:
        one, other = ([rle_of(image, record) for record in records] for records in (rows, lesions))
    # A crowd region asks pycocotools for the intersection over the first one's size.
    if overlap == "iobb":
        return np.asarray(mask_utils.iou(one, other, [1] * len(other)))
    if overlap == "iogt":
        return np.asarray(mask_utils.iou(other, one, [1] * len(one))).T
    return np.asarray(mask_utils.iou(one, other, [0] * len(other)))


def _corners(grouped, images, kind):
    boxes = [
        record["bbox"] if kind == "bbox" else mask_utils.toBbox(rle_of(image, record))
        for image, records in zip(images, grouped, strict=True)
        for record in records
    ]
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def _scales(truth):
    rows = []
    for image in truth.images:
        if not image.get("spacing_mm"):
            raise ValueError(
                f"{truth.name}: image {image['id']}: Expected spacing_mm for a protocol in "
                "millimetres but there is none"
            )
        rows.append(list(image["spacing_mm"][:2]) * 2)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
