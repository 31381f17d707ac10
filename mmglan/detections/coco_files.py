"""COCO annotation files: read and checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from data_prep.errors import DataError
from data_prep.json_files import load_json
from mmglan.detections.categories import read_categories
from mmglan.detections.value_checks import check_size, check_spacing, finite_numbers


@dataclass
class GroundTruth:
    """A COCO annotation file.

    Attributes:
        name: File name, for messages.
        images: COCO image records, by rising id.
        lesions: For each image its annotations, crowd regions aside.
        regions: For each image its regions to ignore (`iscrowd` or `ignore`): a detection on one
            that finds no lesion is no false positive.
        categories: Names of the categories by id, in the file's order; empty where it has none.
        patients: Names, sorted; an image without `patient_id` is a patient of its own.
    """

    name: str
    images: list[dict]
    lesions: list[list[dict]]
    regions: list[list[dict]] = field(default_factory=list)
    categories: dict[int, str] = field(default_factory=dict)
    patients: list[str] = field(init=False)
    position: dict[int, int] = field(init=False)

    def __post_init__(self):
        self.regions = self.regions or [[] for _ in self.images]
        self.position = {image["id"]: index for index, image in enumerate(self.images)}
        self.patients = sorted({self.patient_of(image) for image in self.images})

    @staticmethod
    def patient_of(image: dict) -> str:
        """Return the patient of an image record."""
        patient = image.get("patient_id")
        return f"image {image['id']}" if patient in (None, "") else str(patient)

    def of_categories(self, ids: Iterable[int]) -> GroundTruth:
        """Return the ground truth without the annotations of other categories."""
        kept = set(ids)
        lesions, regions = (
            [[one for one in rows if one.get("category_id", -1) in kept] for rows in side]
            for side in (self.lesions, self.regions)
        )
        named = {number: name for number, name in self.categories.items() if number in kept}
        return GroundTruth(self.name, self.images, lesions, regions, named)

    def of_images(self, places: Sequence[int]) -> GroundTruth:
        """Return the ground truth of some images, in their order."""
        images = [self.images[one] for one in places]
        lesions, regions = ([side[one] for one in places] for side in (self.lesions, self.regions))
        return GroundTruth(self.name, images, lesions, regions, self.categories)

    @property
    def has_patients(self) -> bool:
        """Whether every image names its patient."""
        return all(image.get("patient_id") not in (None, "") for image in self.images)

    @property
    def has_masks(self) -> bool:
        """Whether every lesion has a segmentation."""
        return all(lesion.get("segmentation") for rows in self.lesions for lesion in rows)


def read_json(path: str | Path):
    """Read a JSON file; errors name the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: Expected a JSON file but there is no such file.")
    try:
        return load_json(path)
    except DataError:
        raise
    except ValueError as error:
        raise ValueError(f"{path.name}: Expected JSON but got {error}") from error


def read_ground_truth(source: str | Path | Mapping[str, Any]) -> GroundTruth:
    """Read COCO annotations.

    Args:
        source: A file, or the content of one.

    Raises:
        FileNotFoundError: No such file.
        ValueError: See `read_content`.
    """
    name, content = read_content(source)
    images = sorted(content["images"], key=lambda i: (isinstance(i["id"], str), i["id"]))
    categories = read_categories(content.get("categories"), name)
    gt = GroundTruth(name, images, [[] for _ in images], categories=categories)
    for annotation in content["annotations"]:
        side = gt.regions if is_ignored(annotation) else gt.lesions
        side[gt.position[annotation["image_id"]]].append(annotation)
    return gt


def read_content(source: str | Path | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Read a COCO annotation file, checked and completed: training and metrics start from this.

    An annotation without `id` gets a free number, one without `area` that of its box, one without
    `category_id` the only category of the file.

    Args:
        source: A file, or the content of one.

    Returns:
        tuple: Name for messages, and the content.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not COCO, an image or annotation that cannot be used, an id that repeats, an
            annotation of an unknown image or category, or of no size inside its image.
    """
    if isinstance(source, Mapping):
        name, data = "gt", source
    else:
        name, data = Path(source).name, read_json(source)
    if not isinstance(data, Mapping) or not all(
        isinstance(data.get(part), list) for part in ("images", "annotations")
    ):
        raise ValueError(f"{name}: Expected a COCO file with lists of images and annotations")
    for row, image in enumerate(data["images"]):
        _check_image(image, f"{name}: images[{row}]")
    categories = read_categories(data.get("categories"), name)
    gt = GroundTruth(name, data["images"], [], categories=categories)
    if len(gt.position) != len(gt.images):
        raise ValueError(f"{name}: Expected distinct image ids but some repeat")
    seen, annotations = set(), []
    for row, annotation in enumerate(data["annotations"]):
        where = f"{name}: annotations[{row}]"
        place = position_of(annotation, gt)
        if place is None:
            raise ValueError(
                f"{where}: Expected the id of an image of this file "
                f"but got {unknown_image(annotation)}"
            )
        annotation = _completed(annotation, gt)
        check_annotation(annotation, gt.images[place], where)
        if gt.categories and annotation.get("category_id") is None:
            raise ValueError(f"{where}: Expected the category_id of one of several categories")
        check_category(annotation, gt, where)
        check_size(annotation, where)
        number = annotation.get("id")
        if number is not None and not _is_id(number):
            raise ValueError(f"{where}: Expected a number or text as id but got {number!r}")
        if number in seen:
            raise ValueError(f"{where}: Expected distinct annotation ids but got {number} again")
        seen |= {number} if number is not None else set()
        annotations.append(annotation)
    free = (number for number in itertools.count(1) if number not in seen)
    annotations = [
        one if one.get("id") is not None else one | {"id": next(free)} for one in annotations
    ]
    return name, {**data, "annotations": annotations}


def _completed(annotation: dict, gt: GroundTruth) -> dict:
    more: dict[str, Any] = {}
    box: Any = annotation.get("bbox")
    if annotation.get("area") is None and finite_numbers(box, 4):
        more["area"] = float(box[2] * box[3])
    if annotation.get("category_id") is None and len(gt.categories) < 2:
        more["category_id"] = next(iter(gt.categories), 1)
    return annotation | more if more else annotation


def check_category(record: Mapping[str, Any], gt: GroundTruth, where: str) -> None:
    """Raise ValueError unless an annotation or result names a category of the ground truth.

    One without `category_id`, or a ground truth without categories, has nothing to compare.
    """
    if gt.categories and record.get("category_id") not in (None, *gt.categories):
        listed = ", ".join(f"{number} ({name})" for number, name in gt.categories.items())
        raise ValueError(
            f"{where}: Expected the category_id of a category of {gt.name}, {listed}, "
            f"but got {record['category_id']!r}"
        )


def is_ignored(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation is a region to ignore: neither lesion nor background."""
    return bool(annotation.get("iscrowd") or annotation.get("ignore"))


def check_annotation(annotation: dict, image: dict, where: str) -> None:
    """Raise ValueError unless an annotation has a box of some size: one of 1 x 1 pixels at least.

    Smaller ones, and those outside of their image, are left out by MMDetection in training, so they
    must not count in the metrics.

    Args:
        annotation: The annotation.
        image: Its image.
        where: File and entry, for the message.
    """
    box: Any = annotation.get("bbox")
    area = annotation.get("area", 1)
    check_box(box, where)
    if not finite_numbers([area], 1) or area <= 0 or min(box[2:]) < 1:
        raise ValueError(
            f"{where}: Expected a lesion of at least 1 x 1 pixels but got bbox"
            f" {box}, area {area!r}; remove it"
        )
    sides = image.get("width"), image.get("height")
    for low, length, side in zip(box[:2], box[2:], sides, strict=True):
        if side is not None and (low >= side or low + length <= 0):
            raise ValueError(
                f"{where}: Expected a lesion inside its image, {sides[0]} x {sides[1]} pixels, but "
                f"got bbox {box}; remove it"
            )
    if None not in sides and _are_corners(box, sides):
        raise ValueError(
            f"{where}: Expected bbox as x, y, width, height but got {box}, which leaves its image"
            f" of {sides[0]} x {sides[1]} pixels and fits as x1, y1, x2, y2; convert it"
        )
    for key in ("iscrowd", "ignore"):
        if annotation.get(key) not in (None, 0, 1):
            raise ValueError(f"{where}: Expected {key} 0 or 1 but got {annotation[key]!r}")


def _are_corners(box: Sequence[float], sides: tuple[Any, Any]) -> bool:
    """Whether a box leaves its image by a pixel or more, but not if read as two corners."""
    (x1, y1, x2, y2), (columns, rows) = box, sides
    leaves = x1 + x2 >= columns + 1 or y1 + y2 >= rows + 1
    return leaves and x1 + 1 <= x2 <= columns and y1 + 1 <= y2 <= rows


def position_of(record: dict, gt: GroundTruth) -> int | None:
    """Return the position of a record's image, None if there is none; `True` is no id 1."""
    image_id: Any = record.get("image_id") if isinstance(record, dict) else None
    return gt.position.get(image_id) if _is_id(image_id) else None


def _is_id(value):
    return isinstance(value, (Real, str)) and not isinstance(value, bool)


def unknown_image(record: Any) -> str:
    """Say what stands where the id of a known image is expected."""
    return f"image_id {record.get('image_id')!r}" if isinstance(record, dict) else repr(record)


def _check_image(image, where: str):
    image_id = image.get("id") if isinstance(image, dict) else None
    if not _is_id(image_id):
        found = repr(image_id) if isinstance(image, dict) else repr(image)
        raise ValueError(f"{where}: Expected an image with a number or text as id but got {found}")
    for name in ("width", "height"):
        side = image.get(name)
        if side is not None and (type(side) is not int or side < 1):
            raise ValueError(
                f"{where}: Expected {name} as a whole number of pixels above 0 but got {side!r}"
            )
    check_spacing(image.get("spacing_mm"), where, "x, y(, z)", (2, 3))


def check_box(box: Any, where: str) -> None:
    """Raise ValueError unless a box is four numbers x, y, width, height."""
    if not finite_numbers(box, 4) or min(box[2:]) < 0:
        raise ValueError(f"{where}: Expected bbox as x, y, width, height >= 0 but got {box!r}")
