"""One kind of prediction over a whole test set, in the form that all metrics are computed from.

Letters: I images (or volumes), P patients, N predictions, M lesions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmglan.detections.box_overlaps import Pairs
from mmglan.evaluation.matching import Matches, match
from mmglan.evaluation.metric_values import Kind
from mmglan.evaluation.protocols import Criterion, Protocol


@dataclass(frozen=True, eq=False)
class DetectionSet:
    """Predictions, lesions and their overlaps.

    Attributes:
        kind: `bbox`, `segm`, `bbox3d` or `segm3d`: first part of the metrics' names.
        dims: 2 (images) or 3 (volumes).
        patient: `(I,)` index of each image's patient, 0 to P - 1.
        scores: `(N,)` confidences, ordered by image.
        pred_image: `(N,)` image of each prediction, rising.
        gt_image: `(M,)` image of each lesion, rising.
        overlaps: Pairs by kind of overlap; `iou` is always there.
        short_axis_mm: `(M,)` short axis of the lesions, NaN where unknown.
        on_ignored: `(N,)` share of each prediction inside a region to ignore; None without any.
        category: Class of its predictions and lesions; None for all classes taken as one.
        classes: The same by class; None where metrics by class are not wanted.
    """

    kind: Kind
    dims: int
    patient: np.ndarray
    scores: np.ndarray
    pred_image: np.ndarray
    gt_image: np.ndarray
    overlaps: dict[str, Pairs]
    short_axis_mm: np.ndarray
    on_ignored: np.ndarray | None = None
    category: str | None = None
    classes: Classes | None = None

    @property
    def n_images(self) -> int:
        """I, images without lesions included."""
        return len(self.patient)

    @property
    def n_patients(self) -> int:
        """P."""
        return int(self.patient.max()) + 1 if len(self.patient) else 0

    @property
    def n_lesions(self) -> int:
        """M."""
        return len(self.gt_image)

    def match(self, criterion: Criterion, protocol: Protocol) -> Matches:
        """Match predictions to lesions: the one match of metrics, curves and statuses."""
        return match(
            self.overlaps[criterion.overlap],
            self.scores,
            self.n_lesions,
            threshold=criterion.threshold,
            assignment=protocol.assignment,
            duplicates=protocol.duplicates,
            on_ignored=self.on_ignored,
        )


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of a detection set.

    Attributes:
        names: In the order of the annotation file.
        of_pred: `(N,)` place in `names` of each prediction's class.
        of_gt: `(M,)` of each lesion's.
        sets: The predictions and lesions of each class.
    """

    names: tuple[str, ...]
    of_pred: np.ndarray
    of_gt: np.ndarray
    sets: tuple[DetectionSet, ...]


def rank_scores(detections: DetectionSet) -> DetectionSet:
    """Replace scores by minus the number of predictions per image at least as certain.

    No metric changes, since all depend on the order of the scores only; but two detectors whose
    scores have different scales become comparable.
    """
    rising = np.sort(-detections.scores)
    at_least = np.searchsorted(rising, -detections.scores, side="right")
    return replace(detections, scores=-at_least / max(detections.n_images, 1))


def pooled(first: DetectionSet, second: DetectionSet) -> DetectionSet:
    """Put two detectors' sets of the same images into one, image by image.

    Image `i` of the first becomes `2 i`, that of the second `2 i + 1`. Predictions of equal score
    keep the order of the images, so a set that takes each image from either side is in the same
    order whichever side is the first one. The second one's patients follow the first one's.
    """
    n_first = len(first.scores)
    image = np.concatenate([2 * first.pred_image, 2 * second.pred_image + 1])
    gt_image = np.concatenate([2 * first.gt_image, 2 * second.gt_image + 1])
    order, gt_order = np.argsort(image, kind="stable"), np.argsort(gt_image, kind="stable")
    place, gt_place = np.argsort(order), np.argsort(gt_order)

    def joined(pairs_of_first, pairs_of_second):
        pred = place[np.concatenate([pairs_of_first.pred, pairs_of_second.pred + n_first])]
        gt = np.concatenate([pairs_of_first.gt, pairs_of_second.gt + first.n_lesions])
        gt = gt_place[gt]
        by_pred = np.lexsort((gt, pred))
        overlap = np.concatenate([pairs_of_first.overlap, pairs_of_second.overlap])
        return Pairs(pred[by_pred], gt[by_pred], overlap[by_pred])

    shares = [
        np.zeros(len(one.scores)) if one.on_ignored is None else one.on_ignored
        for one in (first, second)
    ]
    return DetectionSet(
        kind=first.kind,
        dims=first.dims,
        patient=np.column_stack([first.patient, second.patient + first.n_patients]).ravel(),
        scores=np.concatenate([first.scores, second.scores])[order],
        pred_image=image[order],
        gt_image=gt_image[gt_order],
        overlaps={
            kind: joined(first.overlaps[kind], second.overlaps[kind]) for kind in first.overlaps
        },
        short_axis_mm=np.concatenate([first.short_axis_mm, second.short_axis_mm])[gt_order],
        on_ignored=np.concatenate(shares)[order],
    )
