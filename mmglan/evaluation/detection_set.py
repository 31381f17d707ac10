"""One kind of prediction over a whole test set, in the form that all figures are computed from.

Letters: I images (or volumes), P patients, N predictions, M lesions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmglan.detections.box_overlaps import Pairs


@dataclass(frozen=True, eq=False)
class Cases:
    """Predictions, lesions and their overlaps.

    Attributes:
        kind: `bbox`, `segm`, `bbox3d` or `segm3d`: first part of the figures' names.
        dims: 2 (images) or 3 (volumes).
        patient: `(I,)` index of each image's patient, 0 to P - 1.
        scores: `(N,)` confidences, ordered by image.
        pred_image: `(N,)` image of each prediction, rising.
        truth_image: `(M,)` image of each lesion, rising.
        overlaps: Pairs by kind of overlap; `iou` is always there.
        short_axis_mm: `(M,)` short axis of the lesions, NaN where unknown.
    """

    kind: str
    dims: int
    patient: np.ndarray
    scores: np.ndarray
    pred_image: np.ndarray
    truth_image: np.ndarray
    overlaps: dict[str, Pairs]
    short_axis_mm: np.ndarray

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
        return len(self.truth_image)

    def iou_matrices(self) -> list[np.ndarray]:
        """For each image `(n, m)` IoU."""
        pairs = self.overlaps["iou"]
        n_pred = np.bincount(self.pred_image, minlength=self.n_images)
        n_truth = np.bincount(self.truth_image, minlength=self.n_images)
        first_pred = np.cumsum(n_pred) - n_pred
        first_truth = np.cumsum(n_truth) - n_truth
        sizes = n_pred * n_truth
        flat = np.zeros(int(sizes.sum()))
        first = np.cumsum(sizes) - sizes
        image = self.pred_image[pairs.pred]
        row = pairs.pred - first_pred[image]
        column = pairs.truth - first_truth[image]
        flat[first[image] + row * n_truth[image] + column] = pairs.overlap
        return [
            flat[start : start + size].reshape(rows, columns)
            for start, size, rows, columns in zip(first, sizes, n_pred, n_truth, strict=True)
        ]


def rank_scores(cases: Cases) -> Cases:
    """Replaces scores by minus the number of predictions per image at least as certain.

    No figure changes, since all depend on the order of the scores only; but two detectors whose
    scores have different scales become comparable.
    """
    rising = np.sort(-cases.scores)
    at_least = np.searchsorted(rising, -cases.scores, side="right")
    return replace(cases, scores=-at_least / max(cases.n_images, 1))


def pooled(first: Cases, second: Cases) -> Cases:
    """Puts two sets of cases of the same images into one, image by image.

    Image `i` of the first becomes `2 i`, that of the second `2 i + 1`. Predictions of equal score
    keep the order of the images, so a set that takes each image from either side is in the same
    order whichever side is the first one. The second one's patients follow the first one's.
    """
    n_first = len(first.scores)
    image = np.concatenate([2 * first.pred_image, 2 * second.pred_image + 1])
    truth_image = np.concatenate([2 * first.truth_image, 2 * second.truth_image + 1])
    order, truth_order = np.argsort(image, kind="stable"), np.argsort(truth_image, kind="stable")
    place, truth_place = np.argsort(order), np.argsort(truth_order)

    def joined(pairs_of_first, pairs_of_second):
        pred = place[np.concatenate([pairs_of_first.pred, pairs_of_second.pred + n_first])]
        truth = np.concatenate([pairs_of_first.truth, pairs_of_second.truth + first.n_lesions])
        truth = truth_place[truth]
        by_pred = np.lexsort((truth, pred))
        overlap = np.concatenate([pairs_of_first.overlap, pairs_of_second.overlap])
        return Pairs(pred[by_pred], truth[by_pred], overlap[by_pred])

    return Cases(
        kind=first.kind,
        dims=first.dims,
        patient=np.column_stack([first.patient, second.patient + first.n_patients]).ravel(),
        scores=np.concatenate([first.scores, second.scores])[order],
        pred_image=image[order],
        truth_image=truth_image[truth_order],
        overlaps={
            kind: joined(first.overlaps[kind], second.overlaps[kind]) for kind in first.overlaps
        },
        short_axis_mm=np.concatenate([first.short_axis_mm, second.short_axis_mm])[truth_order],
    )
