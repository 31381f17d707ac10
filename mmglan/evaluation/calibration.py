"""Calibration of scores: fits, cross-validation by patient, expected calibration error.

Letters: N detections, P patients, K bins, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, log_expit, logit

from mmglan.detections.calibration import Calibration
from mmglan.evaluation.resampling.bootstrap import Interval, bootstrap

METHODS = ("isotonic", "platt")
BINS = 10
# A score of 0 or 1 would have an infinite logit.
_EDGE = 1e-6
_TABLE = np.linspace(0, 1, 257)


@dataclass(frozen=True)
class ReliabilityBin:
    """The detections whose probability lies in one of `BINS` equal parts of [0, 1].

    Attributes:
        count: Their number.
        predicted: Mean of their probabilities.
        observed: Share of them that are lesions.
    """

    count: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Reliability:
    """How well probabilities agree with what was observed.

    Attributes:
        error: Expected calibration error: mean over the detections of the distance of predicted
            and observed probability of their bin (Guo et al. 2017).
        interval: Of the error, from resampled patients; None without resamples.
        bins: The bins that are not empty.
    """

    error: float
    interval: Interval | None
    bins: tuple[ReliabilityBin, ...]


def fit_calibration(
    scores: np.ndarray, is_lesion: np.ndarray, method: str = "isotonic"
) -> Calibration:
    """Fit a curve from scores to probabilities.

    Args:
        scores: `(N,)` from 0 to 1.
        is_lesion: `(N,)` bool.
        method: `isotonic`: the rising step curve of least squares. `platt`: a sigmoid of the
            score's logit, with Platt's targets, which keep it from 0 and 1.

    Raises:
        ValueError: No detection, or an unknown method.
    """
    scores, is_lesion = np.asarray(scores, float), np.asarray(is_lesion, float)
    if not len(scores):
        raise ValueError("Expected detections to calibrate with but got none.")
    if method == "isotonic":
        places, group = np.unique(scores, return_inverse=True)
        count = np.bincount(group)
        share = np.bincount(group, is_lesion) / count
        level = np.clip(isotonic_regression(share, weights=count).x, 0, 1)
        ends = (
            np.concatenate([[0.0], places, [1.0]]),
            np.concatenate([level[:1], level, level[-1:]]),
        )
        return Calibration(method, *(tuple(end.tolist()) for end in ends))
    if method != "platt":
        raise ValueError(f"Expected one of {', '.join(METHODS)} but got {method!r}.")
    positive, negative = is_lesion.sum(), (1 - is_lesion).sum()
    target = np.where(is_lesion > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    x = logit(np.clip(scores, _EDGE, 1 - _EDGE))

    def loss(parameters):
        z = parameters[0] * x + parameters[1]
        gradient = expit(z) - target
        value = -(target * log_expit(z) + (1 - target) * log_expit(-z)).sum()
        return value, np.array([gradient @ x, gradient.sum()])

    # A falling curve would rank lesions against their scores.
    found = minimize(
        loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]
    )
    slope, offset = found.x
    table = expit(slope * logit(np.clip(_TABLE, _EDGE, 1 - _EDGE)) + offset)
    return Calibration(method, tuple(_TABLE.tolist()), tuple(table.tolist()))


def cross_fitted(
    scores: np.ndarray,
    is_lesion: np.ndarray,
    patient: np.ndarray,
    method: str,
    *,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """Return the probability of each detection by a curve fitted on other patients.

    Args:
        scores: `(N,)`.
        is_lesion: `(N,)` bool.
        patient: `(N,)` index of the patient.
        method: See `fit_calibration`.
        folds: Parts that the patients are divided into.
        seed: Of the division.

    Raises:
        ValueError: Fewer than two patients.
    """
    patients = np.random.default_rng(seed).permutation(np.unique(patient))
    if len(patients) < 2:
        raise ValueError("Expected detections of at least two patients for cross-validation.")
    result = np.zeros(len(scores))
    for part in np.array_split(patients, min(folds, len(patients))):
        held_out = np.isin(patient, part)
        curve = fit_calibration(scores[~held_out], is_lesion[~held_out], method)
        result[held_out] = curve(scores[held_out])
    return result


def reliability(
    probabilities: np.ndarray,
    is_lesion: np.ndarray,
    patient: np.ndarray,
    *,
    n: int = 1000,
    seed: int = 0,
) -> Reliability:
    """Compare probabilities with what was observed.

    Args:
        probabilities: `(N,)`.
        is_lesion: `(N,)` bool.
        patient: `(N,)` index of the patient.
        n: B, resamples of patients for the interval; 0 for none.
        seed: Of the resampling.

    Examples:
        Two bins of two detections: 0.9 predicted and 0.5 observed, 0.1 predicted and 0 observed.

        >>> reliability([0.9, 0.9, 0.1, 0.1], [1, 0, 0, 0], [0, 1, 2, 3], n=0).error
        0.25
    """
    probabilities, is_lesion = np.asarray(probabilities, float), np.asarray(is_lesion, float)
    patients, owner = np.unique(patient, return_inverse=True)
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)

    def sums(values: np.ndarray) -> np.ndarray:
        """`(K, P)` sums by bin and patient."""
        table = np.zeros((BINS, len(patients)))
        np.add.at(table, (place, owner), values)
        return table

    count, gap = sums(np.ones(len(place))), sums(probabilities - is_lesion)

    def error(weights: np.ndarray) -> np.ndarray:
        total = (count @ weights).sum(axis=0)
        distance = np.abs(gap @ weights).sum(axis=0)
        return np.divide(distance, total, out=np.full(len(total), np.nan), where=total > 0)[None]

    interval = None
    if n and len(patients) > 1:
        # BCa would correct for the bias of this absolute error with the error itself.
        interval = bootstrap(error, len(patients), n=n, seed=seed, method="percentile")[0]
    return Reliability(
        float(error(np.ones((len(patients), 1)))[0, 0]),
        interval,
        _bins(place, probabilities, is_lesion),
    )


def _bins(
    place: np.ndarray, probabilities: Sequence[float], is_lesion: Sequence[float]
) -> tuple[ReliabilityBin, ...]:
    members = [place == number for number in range(BINS)]
    return tuple(
        ReliabilityBin(
            int(inside.sum()), float(probabilities[inside].mean()), float(is_lesion[inside].mean())
        )
        for inside in members
        if inside.any()
    )
