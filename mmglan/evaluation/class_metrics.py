"""Several classes: a detection set of each, the mean over them, and who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmglan.detections.coco_files import GroundTruth
from mmglan.detections.coco_results import Results
from mmglan.evaluation.detection_sets.detection_set import Classes, DetectionSet
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.evaluation_record import Confusion
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import Protocol

CLASS_MEAN = "class mean"
# False positives per image at which the confusion is counted.
CONFUSION_FP = 1.0


def with_classes(
    detections: DetectionSet,
    gt: GroundTruth,
    results: Results,
    protocol: Protocol,
    name: str = "results",
) -> DetectionSet:
    """Return a detection set of images with its lesions and predictions by class as well.

    Args:
        detections: All classes taken as one.
        gt, results, protocol, name: What it was made from, see `detection_set_of_images`.

    Raises:
        ValueError: A ground truth without categories, or an entry that names none.
    """
    ids = list(gt.categories)
    if not ids:
        raise ValueError(f"{gt.name}: Expected categories for metrics by class but there are none")
    place = {number: index for index, number in enumerate(ids)}
    of_gt = [place.get(one.get("category_id")) for rows in gt.lesions for one in rows]
    of_pred = [place.get(number) for number in results.category.tolist()]
    for side, where in ((of_gt, gt.name), (of_pred, name)):
        if None in side:
            raise ValueError(f"{where}: Expected category_id of every entry for metrics by class")
    sets = []
    for number, category in gt.categories.items():
        part = results.take(results.category == number)
        own = gt.of_categories([number])
        one = detection_set_of_images(own, part, detections.kind, protocol, name=name)
        sets.append(replace(one, category=category))
    arrays = (np.array(side, dtype=np.int64) for side in (of_pred, of_gt))
    classes = Classes(tuple(gt.categories.values()), *arrays, tuple(sets))
    return replace(detections, classes=classes)


class ClassMean:
    """The mean of every metric over the classes that have lesions, as pycocotools' mean AP.

    It has of `Metrics` what intervals are computed from.
    """

    def __init__(self, parts: Sequence[Metrics]):
        self._parts = parts
        self.detections = parts[0].detections
        self.keys = [replace(key, category=CLASS_MEAN) for key in parts[0].keys]
        self.estimates = _mean([part.estimates for part in parts])

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Compute the metrics of reweighted test sets; see `Metrics.values`."""
        return _mean([part.values(weights) for part in self._parts])


def _mean(values: list[np.ndarray]) -> np.ndarray:
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return total / known.sum(axis=0)


def confusion(metrics: Metrics) -> Confusion:
    """Count as which class lesions are found, by the first criterion at 1 FP per image.

    Args:
        metrics: Of a set with classes, all taken as one.
    """
    criterion, matches = next(iter(metrics.matches.items()))
    detections, classes = metrics.detections, metrics.detections.classes
    score = metrics.curves[criterion].threshold_at(CONFUSION_FP)
    score = min(score, detections.scores.max(initial=0.0))
    certain, other = detections.scores >= score, len(classes.names)
    counts = np.zeros((other + 1, other + 1), dtype=np.int64)
    finder = np.where(np.append(certain, False)[matches.found_by], matches.found_by, -1)
    np.add.at(counts, (classes.of_gt, np.append(classes.of_pred, other)[finder]), 1)
    np.add.at(counts[other], classes.of_pred[matches.false_positive & certain], 1)
    rows = tuple(map(tuple, counts.tolist()))
    return Confusion(detections.kind, criterion, float(score), classes.names, rows)
