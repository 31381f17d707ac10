"""The whole evaluation: metrics, intervals, curves and size strata of a test set."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmglan.evaluation.class_metrics import ClassMean, confusion
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.evaluation_record import (
    Band,
    Counts,
    Evaluation,
    OperatingPoint,
    ReportedCurve,
    Stratum,
)
from mmglan.evaluation.froc import FROCCurve
from mmglan.evaluation.metric_values import Kind, MetricValue
from mmglan.evaluation.metrics import OPERATING_FPS, Metrics
from mmglan.evaluation.protocols import Criterion, Protocol, get_protocol
from mmglan.evaluation.resampling.bootstrap import Interval, bootstrap, resampled

# A curve is drawn up to this many false positives per image, with at most this many points.
CURVE_FP = 16.0
CURVE_POINTS = 400
# Where its confidence band is computed, besides the curve's own points.
BAND_FPS = tuple(np.geomspace(1 / 64, CURVE_FP, 61))


def evaluate_detections(
    sets: Sequence[DetectionSet],
    protocol: str | Protocol = "deeplesion",
    *,
    bootstrap: int = 0,
    seed: int = 0,
    level: float = 0.95,
    interval: str = "bca",
) -> Evaluation:
    """Compute everything that is reported about one detector on one test set.

    Args:
        sets: One entry per kind of prediction (boxes, masks, volumes).
        protocol: Preset's name or a protocol.
        bootstrap: Number of resamples of patients; 0 for no intervals.
        seed: Of the resampling.
        level: Confidence level.
        interval: `'bca'` or `'percentile'`.

    Returns:
        Evaluation: Counts, metrics, intervals and curves.

    Raises:
        ValueError: Unknown protocol or interval, or a level outside of (0, 1).
    """
    protocol = get_protocol(protocol)
    options = dict(n=bootstrap, seed=seed, level=level)
    counts: dict[Kind, Counts] = {}
    values, curves, confusions = [], [], []
    for detections in sets:
        metrics = Metrics(detections, protocol)
        counts[detections.kind] = Counts(
            n_images=detections.n_images,
            n_patients=detections.n_patients,
            n_lesions=detections.n_lesions,
            n_predictions=len(detections.scores),
            strata=tuple(Stratum(name, count) for name, count in metrics.strata.items()),
        )
        parts = [metrics]
        if detections.classes is not None:
            parts += [Metrics(one, protocol) for one in detections.classes.sets]
            confusions.append(confusion(metrics))
        for part in parts:
            values += _values(part, method=interval, **options)
            for criterion, curve in part.curves.items():
                curves.append(_curve(part, criterion, curve, **options))
        if parts[1:]:
            values += _values(ClassMean(parts[1:]), method=interval, **options)
    return Evaluation(protocol, counts, tuple(values), tuple(curves), tuple(confusions))


def defined(value: float) -> float | None:
    """Return a number as a plain float, None where it is not finite."""
    return float(value) if math.isfinite(value) else None


def known(interval: Interval) -> Interval | None:
    """Return an interval, None where the metric is defined in no resample."""
    return interval if interval.n else None


def _values(metrics: Metrics | ClassMean, *, n, seed, level, method):
    intervals: list[Interval | None] = [None] * len(metrics.keys)
    if n:
        found = bootstrap(
            metrics.values,
            metrics.detections.n_patients,
            n=n,
            seed=seed,
            level=level,
            method=method,
            estimates=metrics.estimates,
        )
        intervals = [known(one) for one in found]
    rows = zip(metrics.keys, metrics.estimates, intervals, strict=True)
    return [
        MetricValue(**vars(key), value=defined(value), interval=one) for key, value, one in rows
    ]


def _curve(metrics: Metrics, criterion: Criterion, curve: FROCCurve, *, n, seed, level):
    keep = curve.vertices()
    keep = keep[curve.fp[keep] <= CURVE_FP]
    if len(keep) > CURVE_POINTS:
        keep = keep[np.unique(np.linspace(0, len(keep) - 1, CURVE_POINTS).round().astype(int))]
    band = None
    if n and len(keep) and curve.n_lesions and metrics.detections.n_patients > 1:
        band = _band(metrics, criterion, curve.fp[keep], n=n, seed=seed, level=level)
    at = [curve.at(fp, metrics.protocol.interpolation) for fp in OPERATING_FPS]
    return ReportedCurve(
        kind=metrics.detections.kind,
        criterion=criterion,
        fp=tuple(curve.fp[keep].tolist()),
        sensitivity=tuple(map(defined, curve.sensitivity[keep])),
        score=tuple(curve.score[keep].tolist()),
        operating_points=tuple(
            OperatingPoint(fp, defined(value), defined(curve.threshold_at(fp)))
            for fp, value in zip(OPERATING_FPS, at, strict=True)
        ),
        band=band,
        category=metrics.detections.category,
    )


def _band(metrics: Metrics, criterion: Criterion, fp: np.ndarray, *, n, seed, level):
    """Compute the percentile band of a curve at `fp`; None if no resample has a curve."""
    # Resampled curves rise elsewhere than this one: its points alone would draw the band
    # straight across their steps.
    grid = np.concatenate([fp, OPERATING_FPS, BAND_FPS])
    places = np.unique(grid[grid <= fp.max()])
    weighted = metrics.weighted_curve(criterion)

    def curves(weights):
        return weighted.at(weights, places, metrics.protocol.interpolation)[0]

    samples = resampled(curves, metrics.detections.n_patients, n, seed)
    # A resample without lesions has no curve; all points of it are NaN.
    samples = samples[:, np.isfinite(samples).all(axis=0)]
    if not samples.shape[1]:
        return None
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=1).tolist()
    return Band(tuple(places.tolist()), tuple(low), tuple(high))
