"""Confidence intervals of means whose values come in clusters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats

_BLOCK = 1 << 20  # draws at once


def clustered_mean(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Compute the mean, with a bootstrap interval that resamples whole clusters.

    Values of one cluster (the slices of one structure, the lesions of one patient) resemble each
    other; drawing them one by one would give intervals that are too narrow.

    Args:
        values: finite numbers.
        clusters: which cluster each value belongs to.
        level: confidence level.
        n_resamples: bootstrap samples.
        seed: of the resampling.

    Returns:
        (mean, low, high): bias-corrected and accelerated interval (Efron 1987), as that of
        `scipy.stats.bootstrap`, whose jackknife is quadratic. The bounds are NaN for fewer than
        three clusters, and all three are NaN without values.
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return (float("nan"),) * 3
    mean = float(values.mean())
    _, inverse = np.unique(np.array([str(c) for c in clusters]), return_inverse=True)
    sums, counts = np.bincount(inverse, values), np.bincount(inverse)
    if len(counts) < 3:
        return mean, float("nan"), float("nan")
    if np.ptp(sums / counts) < 1e-12:  # nothing varies: the acceleration would be 0 / 0
        return mean, mean, mean
    return mean, *_interval(sums, counts, mean, level, n_resamples, np.random.default_rng(seed))


def _interval(
    sums: np.ndarray,
    counts: np.ndarray,
    mean: float,
    level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the BCa interval of `sum(sums) / sum(counts)`, clusters resampled.

    Time grows linearly with the clusters; memory does not beyond one block of draws.
    """
    rows = max(1, _BLOCK // len(sums))
    means = []
    for first in range(0, n_resamples, rows):
        drawn = rng.integers(len(sums), size=(min(rows, n_resamples - first), len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    resampled = np.concatenate(means)
    # Without one cluster the mean is (S - s) / (N - n): no resample is needed for the jackknife.
    without = (sums.sum() - sums) / (counts.sum() - counts)
    pull = without.mean() - without
    skew = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    below = ((resampled < mean).mean() + (resampled <= mean).mean()) / 2
    bias = stats.norm.ppf(below)
    ends = bias + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(resampled, stats.norm.cdf(bias + ends / (1 - skew * ends)))
    return float(low), float(high)
