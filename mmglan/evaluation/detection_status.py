"""Which detection found which lesion, image by image, on the metric's own matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mmglan.detections.coco_files import GroundTruth
from mmglan.detections.coco_results import Results
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
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


@dataclass(frozen=True, eq=False)
class TestSetStatus:
    """All images of a test set; what is asked for is put together when it is.

    Attributes:
        gt: Ground truth.
        boxes: Box results.
        masks: For each box result its segmentation; None without masks.
        overlap: For each box result its largest IoU with a lesion's box.
        matches: By the rules by which they were matched, boxes first.
    """

    __test__ = False  # no test of pytest's

    gt: GroundTruth
    boxes: Results
    masks: list[Any] | None
    overlap: np.ndarray
    matches: dict[Rule, Matches]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """By which detections and lesions were matched."""
        return tuple(self.matches)

    @cached_property
    def first_lesions(self) -> np.ndarray:
        """`(I + 1,)` number of the first lesion of each image."""
        return np.cumsum([0, *map(len, self.gt.lesions)])

    def image(self, place: int) -> ImageStatus:
        """Return the statuses of an image of the ground truth."""
        first, last = np.searchsorted(self.boxes.image, [place, place + 1]).tolist()
        by_score = first + np.argsort(-self.boxes.scores[first:last], kind="stable")
        lesions = self.gt.lesions[place]
        numbers = range(self.first_lesions[place], self.first_lesions[place + 1])
        return ImageStatus(
            self.gt.images[place],
            [self._lesion(*one) for one in zip(lesions, numbers, strict=True)],
            [self._detection(index) for index in by_score.tolist()],
        )

    @property
    def images(self) -> list[ImageStatus]:
        """Every image, in the order of the ground truth."""
        return list(map(self.image, range(len(self.gt.images))))

    def _detection(self, index: int) -> DetectionStatus:
        return DetectionStatus(
            box=tuple(self.boxes.boxes[index].tolist()),
            score=float(self.boxes.scores[index]),
            segmentation=None if self.masks is None else self.masks[index],
            overlap=float(self.overlap[index]),
            status={rule: _status(one, index) for rule, one in self.matches.items()},
        )

    def _lesion(self, annotation: dict[str, Any], index: int) -> LesionStatus:
        scores = self.boxes.scores
        return LesionStatus(
            box=tuple(annotation["bbox"]),
            segmentation=annotation.get("segmentation"),
            axes_mm=_axes(annotation),
            found_at={rule: _found_at(one, index, scores) for rule, one in self.matches.items()},
        )


def status_of_images(
    gt: GroundTruth,
    boxes: Results,
    masks: Results | None = None,
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
        boxes: Box results.
        masks: Mask results of the same detections in the same order, or None. They are matched
            where the ground truth has masks, and shown in any case.
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
    pairs, overlap = sets[0].overlaps["iou"], np.zeros(len(boxes))
    np.maximum.at(overlap, pairs.pred, pairs.overlap)
    shown = boxes.masks if masks is None else masks.masks
    return TestSetStatus(gt, boxes, shown, overlap, matches)


def same_detections(boxes: Results, masks: Results) -> bool:
    """Whether mask results are of the same detections as box results, in the same order."""
    return np.array_equal(boxes.image, masks.image) and np.array_equal(boxes.scores, masks.scores)


def check_counts(evaluation: Evaluation, status: TestSetStatus) -> None:
    """Check that metrics and detections are of one test set, as far as counts tell.

    Raises:
        ValueError: Other numbers of images, lesions or predictions.
    """
    counts = evaluation.counts.get("bbox")
    found = {
        "n_images": len(status.gt.images),
        "n_lesions": int(status.first_lesions[-1]),
        "n_predictions": len(status.boxes),
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
