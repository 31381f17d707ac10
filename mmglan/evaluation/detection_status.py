"""Which detection found which lesion, image by image, on the metric's own matches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmglan.detections.coco_files import GroundTruth
from mmglan.evaluation.detection_set import DetectionSet
from mmglan.evaluation.detection_set_2d import detection_set_of_images
from mmglan.evaluation.evaluation_record import Evaluation
from mmglan.evaluation.matching import Matches
from mmglan.evaluation.metric_values import Kind
from mmglan.evaluation.protocols import Criterion, Protocol, get_protocol

TRUE_POSITIVE, FALSE_POSITIVE, DUPLICATE = "tp", "fp", "duplicate"


@dataclass(frozen=True)
class Rule:
    """What is matched, and when a detection finds a lesion.

    Attributes:
        kind: `bbox` or `segm`.
        criterion: Overlap that is enough.
    """

    kind: Kind
    criterion: Criterion


@dataclass(frozen=True)
class LesionStatus:
    """A lesion of the ground truth.

    Attributes:
        box: x, y, width, height, pixels.
        segmentation: COCO segmentation or None.
        axes_mm: (long, short) RECIST axes, mm, or None.
        found_at: By rule the score of the first detection that finds it, None if none does: it is
            found at every score threshold up to that score.
    """

    box: tuple[float, float, float, float]
    segmentation: Any = None
    axes_mm: tuple[float, float] | None = None
    found_at: dict[Rule, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class DetectionStatus:
    """A detection.

    Attributes:
        box: x, y, width, height, pixels.
        score: Confidence.
        segmentation: COCO segmentation or None.
        overlap: Largest IoU of its box with a lesion's box, 0 where there is none.
        status: By rule `'tp'`, `'fp'` or `'duplicate'` (it finds only lesions that another one
            found, and counts neither way).
    """

    box: tuple[float, float, float, float]
    score: float
    segmentation: Any = None
    overlap: float = 0.0
    status: dict[Rule, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageStatus:
    """Lesions and detections of one image.

    Attributes:
        image: Its COCO record (`file_name`, `width`, `height` …).
        lesions: In the file's order.
        detections: By falling score.
    """

    image: dict[str, Any]
    lesions: list[LesionStatus]
    detections: list[DetectionStatus]


@dataclass(frozen=True)
class TestSetStatus:
    """All images of a test set.

    Attributes:
        rules: By which they were matched, boxes first.
        images: One entry per image, in the order of the ground truth.
    """

    __test__ = False  # no test of pytest's

    rules: tuple[Rule, ...]
    images: list[ImageStatus]


def status_of_images(
    gt: GroundTruth,
    boxes: list[list[dict]],
    masks: list[list[dict]] | None = None,
    protocol: str | Protocol = "deeplesion",
    *,
    names: Sequence[str] = ("results", "mask results"),
) -> TestSetStatus:
    """Match the detections of each image with its lesions, by boxes and by masks.

    The matches are those that the metrics are computed from. With the assignments `every` and
    `greedy` a status does not depend on detections of lower score, so it holds at every score
    threshold.

    Args:
        gt: Ground truth.
        boxes: For each image its COCO box results, see
            `mmglan.detections.coco_files.group_results`.
        masks: For each image the mask results of the same detections in the same order, or None.
            They are matched where the ground truth has masks, and shown in any case.
        protocol: Criteria, assignment and duplicates.
        names: Of the two results, for messages.

    Returns:
        TestSetStatus: Matching rules and images.

    Raises:
        ValueError: Masks of other detections than the boxes.
    """
    protocol = get_protocol(protocol)
    if masks is not None and not same_detections(boxes, masks):
        raise ValueError(
            f"{names[1]}: Expected the masks of the detections of {names[0]}, in the same order, "
            "but got others; leave the masks out"
        )
    sets = [detection_set_of_images(gt, boxes, "bbox", protocol, name=names[0])]
    if masks is not None and gt.has_masks:
        sets.append(detection_set_of_images(gt, masks, "segm", protocol, name=names[1]))
    matches = {
        Rule(one.kind, criterion): one.match(criterion, protocol)
        for one in sets
        for criterion in protocol.criteria_2d
    }
    return TestSetStatus(tuple(matches), _by_image(gt, boxes, masks, sets[0], matches))


def same_detections(boxes: list[list[dict]], masks: list[list[dict]]) -> bool:
    """Whether mask results are of the same detections as box results, in the same order."""
    scores = ([[row["score"] for row in rows] for rows in one] for one in (boxes, masks))
    return next(scores) == next(scores)


def check_counts(evaluation: Evaluation, status: TestSetStatus) -> None:
    """Check that metrics and detections are of one test set, as far as counts tell.

    Raises:
        ValueError: Other numbers of images, lesions or predictions.
    """
    counts = evaluation.counts.get("bbox")
    found = {
        "n_images": len(status.images),
        "n_lesions": sum(len(image.lesions) for image in status.images),
        "n_predictions": sum(len(image.detections) for image in status.images),
    }
    wanted = found if counts is None else {name: getattr(counts, name) for name in found}
    other = [name for name in found if found[name] != wanted[name]]
    if other:
        raise ValueError(
            "Expected annotations and box results of the test set that the metrics file is of, "
            + ", ".join(f"{name} {wanted[name]}" for name in other)
            + ", but got "
            + ", ".join(f"{name} {found[name]}" for name in other)
            + ". Name its annotations with --gt, or evaluate again."
        )


def _by_image(gt, boxes, masks, detections: DetectionSet, matches: dict[Rule, Matches]):
    """Return the statuses image by image; indices as in the detection sets."""
    pairs = detections.overlaps["iou"]
    overlap = np.zeros(len(detections.scores))
    np.maximum.at(overlap, pairs.pred, pairs.overlap)
    detection_number, lesion_number = itertools.count(), itertools.count()
    images = []
    for image, lesions, results, shapes in zip(
        gt.images, gt.lesions, boxes, masks or boxes, strict=True
    ):
        rows = [
            _detection(result, shape, index, overlap, matches)
            for result, shape, index in zip(results, shapes, detection_number, strict=False)
        ]
        images.append(
            ImageStatus(
                image,
                [
                    _lesion(annotation, index, detections.scores, matches)
                    for annotation, index in zip(lesions, lesion_number, strict=False)
                ],
                sorted(rows, key=lambda row: -row.score),
            )
        )
    return images


def _detection(result, shape, index, overlap, matches) -> DetectionStatus:
    return DetectionStatus(
        box=tuple(result["bbox"]),
        score=float(result["score"]),
        segmentation=shape.get("segmentation"),
        overlap=float(overlap[index]),
        status={rule: _status(one, index) for rule, one in matches.items()},
    )


def _lesion(annotation, index, scores, matches) -> LesionStatus:
    return LesionStatus(
        box=tuple(annotation["bbox"]),
        segmentation=annotation.get("segmentation"),
        axes_mm=_axes(annotation),
        found_at={rule: _found_at(one, index, scores) for rule, one in matches.items()},
    )


def _status(matches: Matches, index: int) -> str:
    if matches.false_positive[index]:
        return FALSE_POSITIVE
    return TRUE_POSITIVE if matches.hits[index] else DUPLICATE


def _found_at(matches: Matches, index: int, scores: np.ndarray) -> float | None:
    finder = matches.found_by[index]
    return float(scores[finder]) if finder >= 0 else None


def _axes(annotation: dict[str, Any]) -> tuple[float, float] | None:
    long, short = annotation.get("long_axis_mm"), annotation.get("short_axis_mm")
    return (float(long), float(short)) if long and short else None
