"""Confidence intervals of means whose values come in clusters."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats


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
        (mean, low, high): bias-corrected and accelerated interval (`scipy.stats.bootstrap`). The
        bounds are NaN for fewer than three clusters, and all three are NaN without values.
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (sums, counts),
            lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
            paired=True,
            vectorized=True,
            n_resamples=n_resamples,
            confidence_level=level,
            method="BCa",
            random_state=np.random.default_rng(seed),
        ).confidence_interval
    return mean, float(found.low), float(found.high)
