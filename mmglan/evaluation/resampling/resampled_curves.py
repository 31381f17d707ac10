"""FROC, AP and recall of resampled test sets, without matching anything again.

A resample of patients is a vector of weights, how often each patient was drawn. Matching happens
inside images, so it does not depend on the weights: sensitivity, false positives and precision of
any resample are weighted cumulative sums over the predictions in one and the same order. Only the
places where a lesion is found matter; everything between two of them is added up per patient
first, as a sparse matrix.

Letters: P patients, B resamples, Q operating points, S segments of the curve, E finds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from mmglan.evaluation.average_precision import Ranking
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.matching import Matches

# Resamples at a time: keeps a block of weights in the processor's cache.
BLOCK = 32
_RECALL_STEPS = np.linspace(0.0, 1.0, 101)
# As decimals, not by linspace: 0.1 + 4 * 0.05 is above 3 / 10.
MRECALL_PRECISIONS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


def _number_type(n_predictions: int):
    """Choose single precision where it is exact: up to 2^24, patients drawn up to 64 times."""
    return np.float32 if 64 * n_predictions < 1 << 24 else np.float64


def _sparse(rows, patients, values, n_rows, n_patients, dtype):
    return csr_matrix((values.astype(dtype), (rows, patients)), shape=(n_rows, n_patients))


def _running_sums(columns: np.ndarray) -> np.ndarray:
    """Sum down the columns of `(S, B)` to `(B, S)`; much faster along memory than across it."""
    return np.cumsum(np.ascontiguousarray(columns.T), axis=1)


class WeightedFROC:
    """FROC of the lesions and of subsets of them, on the false positive axis of the whole.

    Args:
        detections: Predictions and lesions.
        matches: Their matches.
        subsets: For each subset `(L,)` the finder of each of its lesions, -1 for none, and
            `(L,)` their images. What finds a lesion of a subset must find one of the whole.
    """

    def __init__(
        self,
        detections: DetectionSet,
        matches: Matches,
        subsets: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    ):
        n_patients = detections.n_patients
        order = matches.order
        scores = detections.scores[order]
        patient = detections.patient[detections.pred_image][order]
        false = matches.false_positive[order]
        # Equal scores form one group; groups without a hit in a row form one segment.
        group = np.cumsum(np.append(False, scores[1:] != scores[:-1])) if len(order) else order
        has_hit = np.zeros(len(scores), dtype=bool)
        has_hit[group[matches.hits[order] > 0]] = True
        starts = np.ones(len(scores), dtype=bool)
        starts[1:] = has_hit[1:] | has_hit[:-1]
        segment = (np.cumsum(starts) - 1)[group]
        self.n_segments = int(segment[-1]) + 1 if len(order) else 0
        self._dtype = _number_type(len(order))
        shape = (self.n_segments, n_patients, self._dtype)
        self._false = _sparse(segment[false], patient[false], np.ones(int(false.sum())), *shape)
        self._true, self._lesions = [], []
        for found_by, gt_image in ((matches.found_by, detections.gt_image), *subsets):
            hits = np.bincount(found_by[found_by >= 0], minlength=len(order))[order]
            found = hits > 0
            self._true.append(_sparse(segment[found], patient[found], hits[found], *shape))
            lesions = np.bincount(detections.patient[gt_image], minlength=n_patients)
            self._lesions.append(lesions.astype(np.float64))
        self._images = np.bincount(detections.patient, minlength=n_patients).astype(np.float64)
        self._total_false = np.asarray(self._false.sum(axis=1)).ravel().cumsum()

    def at(self, weights: np.ndarray, fps, interpolation: str = "linear") -> np.ndarray:
        """Return the sensitivity, as `FROCCurve.at`.

        Args:
            weights: `(P, B)` how often each patient counts, whole numbers.
            fps: `(Q,)` false positives per image.
            interpolation: `'linear'` or `'step'`.

        Returns:
            np.ndarray: `(1 + number of subsets, Q, B)`, NaN where no lesion was drawn.
        """
        fps = np.asarray(fps, dtype=np.float64)
        values = np.zeros((len(self._true), len(fps), weights.shape[1]))
        for first in range(0, weights.shape[1], BLOCK):
            block = np.ascontiguousarray(weights[:, first : first + BLOCK], dtype=self._dtype)
            self._fill(values[:, :, first : first + BLOCK], block, fps, interpolation)
        return values

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """Compute the area under the steps: gain in recall times precision, summed over scores.

        Predictions that are neither true nor false count on neither side.

        Args:
            weights: `(P, B)` how often each patient counts, whole numbers.

        Returns:
            np.ndarray: `(1 + number of subsets, B)`, NaN where no lesion was drawn.
        """
        values = np.zeros((len(self._true), weights.shape[1]))
        for first in range(0, weights.shape[1], BLOCK):
            block = np.ascontiguousarray(weights[:, first : first + BLOCK], dtype=self._dtype)
            values[:, first : first + BLOCK] = self._areas(block)
        return values

    def _areas(self, weights):
        false = _running_sums(self._false @ weights).astype(np.float64)
        areas = []
        for true, per_patient in zip(self._true, self._lesions, strict=True):
            gains = (true @ weights).T.astype(np.float64)
            hits = np.cumsum(gains, axis=1)
            seen = hits + false
            precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                areas.append((gains * precision).sum(axis=1) / (per_patient @ weights))
        return np.stack(areas)

    def _fill(self, values, weights, fps, interpolation):
        images = self._images @ weights
        with np.errstate(divide="ignore", invalid="ignore"):
            fp = self._false_positives(weights, images, fps.max(initial=0.0))
            for number, (true, per_patient) in enumerate(
                zip(self._true, self._lesions, strict=True)
            ):
                lesions = per_patient @ weights
                if self.n_segments:
                    hits = _running_sums(true[: fp.shape[1]] @ weights)
                    for column, across in enumerate(fp):
                        up = hits[column] / lesions[column]
                        values[number, :, column] = _read(across, up, fps, interpolation)
                values[number][:, (lesions == 0) | (images == 0)] = np.nan

    def _false_positives(self, weights, images, highest):
        """Return `(B, S')` FP per image, cut where all resamples exceed the highest asked for."""
        enough = 1.25 * highest * self._images.sum() + 100
        while True:
            rows = int(np.searchsorted(self._total_false, enough, side="right")) + 1
            fp = _running_sums(self._false[:rows] @ weights) / images[:, None]
            if rows >= self.n_segments or (fp[:, -1] > highest).all():
                return fp
            enough *= 2


def _read(fp, sensitivity, fps, interpolation):
    """Read one curve at `fps`, as `FROCCurve.at`."""
    if interpolation == "linear":
        return np.interp(fps, fp, sensitivity, left=0.0)
    return np.append(0.0, sensitivity)[np.searchsorted(fp, fps, side="right")]


class WeightedPrecision:
    """AP and mean recall from COCO's verdicts on one ranking."""

    def __init__(self, detections: DetectionSet, ranking: Ranking):
        self._n_patients = detections.n_patients
        self._patient = detections.patient[ranking.image]
        self._dtype = _number_type(len(ranking.image))
        verdicts = list(ranking.verdicts.values())
        # Only the places where a verdict finds a lesion matter; all share the sums between them.
        finds = np.unique(np.concatenate([*(one.hits for one in verdicts), np.zeros(0, int)]))
        self._counts = self._sums_before(finds, np.arange(finds[-1] + 1 if len(finds) else 0))
        self._verdicts = [
            (
                self._patient[one.hits],
                np.searchsorted(finds, one.hits),
                self._sums_before(one.hits, one.ignored) if len(one.ignored) else None,
                np.bincount(detections.patient[one.gt_image], minlength=self._n_patients),
            )
            for one in verdicts
        ]

    def _sums_before(self, finds, places):
        """Count `places` per patient between one find and the next, as a sparse matrix."""
        row = np.searchsorted(finds, places)
        inside = row < len(finds)
        patient = self._patient[places[inside]]
        shape = len(finds), self._n_patients, self._dtype
        return _sparse(row[inside], patient, np.ones(len(patient)), *shape)

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Compute 101-point AP and mean recall over precisions 0.10, 0.15, …, 0.50.

        Args:
            weights: `(P, B)` how often each patient counts, whole numbers.

        Returns:
            np.ndarray: `(V, 2, B)`, one row per verdict; NaN where no lesion was drawn.
        """
        values = np.zeros((len(self._verdicts), 2, weights.shape[1]))
        for first in range(0, weights.shape[1], BLOCK):
            part = slice(first, first + BLOCK)
            block = np.ascontiguousarray(weights[:, part], dtype=self._dtype)
            counts = _running_sums(self._counts @ block)
            for number, (finder, place, ignored, lesions) in enumerate(self._verdicts):
                seen = counts[:, place].astype(np.float64)
                if ignored is not None:
                    seen -= _running_sums(ignored @ block)
                values[number, :, part] = _ap_and_recall(
                    _running_sums(block[finder]), seen, lesions @ weights[:, part]
                )
        return values


def _ap_and_recall(hits, seen, lesions):
    """Compute `(2, B)` from `(B, H)` hits and predictions at each find and `(B,)` lesions."""
    values = np.zeros((2, len(lesions)))
    precision = hits / (seen + np.spacing(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hits / lesions[:, None]
    # The highest precision at this recall or a higher one, falling.
    backwards = np.maximum.accumulate(precision[:, ::-1], axis=1)
    for column, (steps, rising) in enumerate(zip(recall, backwards, strict=True)):
        place = np.searchsorted(steps, _RECALL_STEPS, side="left")
        place = place[place < len(steps)]
        values[0, column] = rising[len(steps) - 1 - place].sum() / len(_RECALL_STEPS)
        count = len(steps) - np.searchsorted(rising, MRECALL_PRECISIONS, side="left")
        values[1, column] = np.append(0.0, steps)[count].mean()
    values[:, lesions == 0] = np.nan
    return values
