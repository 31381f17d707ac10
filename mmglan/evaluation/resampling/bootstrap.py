"""Patient-level bootstrap: percentile and BCa intervals (Efron & Tibshirani 1993, ch. 13-14).

Letters: P patients, B resamples, F metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

METHODS = ("bca", "percentile")
# Columns of patient weights that are in memory at a time.
RESAMPLES_AT_ONCE = 128
# With more patients than this, the jackknife leaves out groups of them.
JACKKNIFE_GROUPS = 1000


@dataclass(frozen=True)
class Interval:
    """Confidence interval of one metric.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: Confidence level, 0.95 for 95 %.
        method: `'bca'` or `'percentile'`.
        n: Resamples in which the metric is defined.
        percentile: Ends of the percentile interval of the same resamples.
    """

    low: float
    high: float
    level: float
    method: str
    n: int
    percentile: tuple[float, float] | None = None


def patient_weights(n_patients: int, n: int, seed: int = 0) -> np.ndarray:
    """Draw patients with replacement.

    Args:
        n_patients: P.
        n: B, number of resamples.
        seed: The same seed gives the same resamples.

    Returns:
        np.ndarray: `(P, B)` how often each patient was drawn; each column sums to P.
    """
    return np.concatenate([np.zeros((n_patients, 0)), *weight_blocks(n_patients, n, seed)], axis=1)


def weight_blocks(
    n_patients: int, n: int, seed: int = 0, block: int = RESAMPLES_AT_ONCE
) -> Iterator[np.ndarray]:
    """Draw the columns of `patient_weights` some at a time, so that memory stays bounded."""
    generator = np.random.default_rng(seed)
    for first in range(0, n, block):
        columns = min(block, n - first)
        if not n_patients:
            yield np.zeros((0, columns))
            continue
        shares = np.full(n_patients, 1 / n_patients)
        yield generator.multinomial(n_patients, shares, size=columns).T.astype(np.float64)


def resampled(
    statistic: Callable[[np.ndarray], np.ndarray], n_patients: int, n: int, seed: int = 0
) -> np.ndarray:
    """Compute metrics of resamples, `(F, B)`: NaN for one patient, as all are the same then.

    Args:
        statistic: Takes `(P, b)` patient weights, gives `(F, b)` metrics.
        n_patients: P.
        n: B.
        seed: See `patient_weights`.
    """
    parts = [statistic(weights) for weights in weight_blocks(n_patients, n, seed)]
    values = np.concatenate(parts, axis=1) if parts else statistic(np.zeros((n_patients, 0)))
    return values if n_patients > 1 else np.full_like(values, np.nan)


def leave_out(
    statistic: Callable[[np.ndarray], np.ndarray],
    n_patients: int,
    block: int = RESAMPLES_AT_ONCE,
    groups: int = JACKKNIFE_GROUPS,
) -> np.ndarray:
    """Compute metrics without each patient in turn, without groups of patients where many.

    With more than `groups` patients, each of so many groups of nearly equal size is left out in
    turn (the delete-group jackknife). The acceleration of BCa is the same in expectation: the
    skewness of groups of h patients falls with the root of h as their number with h.

    Args:
        statistic: Takes `(P, B)` patient weights, gives `(F, B)` metrics.
        n_patients: P.
        block: Columns of weights at a time.
        groups: Most values per metric.

    Returns:
        np.ndarray: `(F, G)`, G the smaller of `groups` and P.
    """
    n_groups = min(groups, n_patients)
    group = np.arange(n_patients) % max(n_groups, 1)
    parts = []
    for first in range(0, max(n_groups, 1), block):
        left_out = np.arange(first, min(first + block, n_groups))
        parts.append(statistic((group[:, None] != left_out).astype(np.float64)))
    return np.concatenate(parts, axis=1)


def percentile_interval(samples: np.ndarray, level: float = 0.95) -> Interval:
    """Return the interval between two quantiles of the resamples.

    Args:
        samples: `(B,)` metric in each resample; NaN where it is not defined.
        level: Confidence level in (0, 1).

    Returns:
        Interval: NaN ends if the metric is defined in no resample.
    """
    return _between(samples, (1 - level) / 2, (1 + level) / 2, level, "percentile")


def bca_interval(
    estimate: float, samples: np.ndarray, jackknife: np.ndarray, level: float = 0.95
) -> Interval:
    """Compute the bias-corrected and accelerated interval.

    Args:
        estimate: Metric of the whole test set.
        samples: `(B,)` metric in each resample; NaN where it is not defined.
        jackknife: Metric without each patient, or each group of patients, in turn.
        level: Confidence level in (0, 1).

    Returns:
        Interval: The percentile interval, and so named, where BCa is not defined: all resamples on
        one side of the estimate, or no patient changes the metric.
    """
    good = samples[np.isfinite(samples)]
    kept = jackknife[np.isfinite(jackknife)]
    if not len(good) or not len(kept) or not np.isfinite(estimate):
        return percentile_interval(samples, level)
    # Ties count half: sensitivities take few values, and a resample of few patients is often the
    # test set itself. Sums in another order differ in the last digits, which must not decide.
    rounding = 1e-12 * np.abs(good).max()
    tied = np.abs(good - estimate) <= rounding
    below = (np.sum((good < estimate) & ~tied) + np.sum(tied) / 2) / len(good)
    away = kept.mean() - kept
    spread = np.sum(away**2)
    if not 0 < below < 1 or spread <= len(kept) * rounding**2:
        return percentile_interval(samples, level)
    bias = ndtri(below)
    acceleration = np.sum(away**3) / (6 * spread**1.5)
    ends = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + ndtri(share)
        scale = 1 - acceleration * shifted
        if scale <= 0:
            return percentile_interval(samples, level)
        ends.append(float(ndtr(bias + shifted / scale)))
    return _between(samples, *ends, level, "bca")


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    n_patients: int,
    *,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    method: str = "bca",
    estimates: np.ndarray | None = None,
) -> list[Interval]:
    """Compute intervals of several metrics from one set of resamples.

    Args:
        statistic: Takes `(P, B)` patient weights, gives `(F, B)` metrics.
        n_patients: P.
        n: B.
        seed: Of the resampling.
        level: Confidence level.
        method: `'bca'` or `'percentile'`.
        estimates: `(F,)` metrics of the whole test set; default what `statistic` gives for it.

    Returns:
        list[Interval]: One for each metric, with NaN ends and `n` 0 where it has none.

    Raises:
        ValueError: An unknown method, or a level outside of (0, 1).

    Examples:
        The mean of five patients' values, which has a skewed distribution.

        >>> values = np.array([0.0, 0.1, 0.1, 0.2, 1.0])
        >>> def mean(weights):
        ...     return (values @ weights / weights.sum(axis=0))[None]
        >>> (interval,) = bootstrap(mean, 5, n=1000, seed=1)
        >>> round(interval.low, 2), round(interval.high, 2), interval.method
        (0.08, 0.82, 'bca')
        >>> [round(float(end), 2) for end in interval.percentile]
        [0.06, 0.64]
    """
    if method not in METHODS:
        raise ValueError(f"Expected method to be one of {', '.join(METHODS)} but got {method!r}")
    if not 0 < level < 1:
        raise ValueError(f"Expected a level between 0 and 1 but got {level}")
    samples = resampled(statistic, n_patients, n, seed)
    plain = [percentile_interval(row, level) for row in samples]
    if method == "percentile":
        best = plain
    else:
        if estimates is None:
            estimates = statistic(np.ones((n_patients, 1)))[:, 0]
        jackknife = leave_out(statistic, n_patients)
        rows = zip(estimates, samples, jackknife, strict=True)
        best = [bca_interval(*row, level) for row in rows]
    return [
        replace(one, percentile=(other.low, other.high))
        for one, other in zip(best, plain, strict=True)
    ]


def _between(samples, low, high, level, method):
    good = samples[np.isfinite(samples)]
    if not len(good):
        return Interval(float("nan"), float("nan"), level, method, 0)
    ends = np.quantile(good, [low, high])
    return Interval(float(ends[0]), float(ends[1]), level, method, len(good))
