"""The whole metric: figures, intervals, curves and size strata of a test set as one record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep import atomic_files
from mmglan.evaluation.bootstrap import bca_interval, leave_one_out, patient_weights, resampled
from mmglan.evaluation.bootstrap import percentile_interval as percentile
from mmglan.evaluation.detection_set import DetectionSet
from mmglan.evaluation.metrics import OPERATING_FPS, Metrics
from mmglan.evaluation.protocols import Protocol, get_protocol

SCHEMA = 1
# A curve is drawn up to this many false positives per image, with at most this many points.
CURVE_FP = 16.0
CURVE_POINTS = 400
# Where its confidence band is computed, besides the curve's own points.
BAND_FPS = tuple(np.geomspace(1 / 64, CURVE_FP, 61))


def evaluate_detections(
    all_cases: Sequence[DetectionSet],
    protocol: str | Protocol = "deeplesion",
    *,
    bootstrap: int = 0,
    seed: int = 0,
    level: float = 0.95,
    method: str = "bca",
) -> dict:
    """Computes everything that is reported about a test set.

    Args:
        all_cases: One entry per kind of prediction (boxes, masks, volumes).
        protocol: Preset's name or a protocol.
        bootstrap: Number of resamples of patients; 0 for no intervals.
        seed: Of the resampling.
        level: Confidence level.
        method: Interval in `intervals`: `'bca'` or `'percentile'`.

    Returns:
        dict: `metrics` (fractions by name), `intervals`, `froc`, `strata` and counts; see
        docs/metrics.md for the schema. Undefined values are NaN here, `null` in the file.
    """
    protocol = get_protocol(protocol)
    record = {
        "schema": SCHEMA,
        "protocol": protocol.name,
        "n_images": all_cases[0].n_images if all_cases else 0,
        "n_patients": max((cases.n_patients for cases in all_cases), default=0),
        "n_lesions": all_cases[0].n_lesions if all_cases else 0,
        "counts": {
            cases.kind: {
                "n_images": cases.n_images,
                "n_lesions": cases.n_lesions,
                "n_predictions": len(cases.scores),
            }
            for cases in all_cases
        },
        "metrics": {},
        "intervals": {},
        "froc": {},
        "strata": {},
    }
    for cases in all_cases:
        _add_kind(record, Metrics(cases, protocol), bootstrap, seed, level, method)
    return record


def _add_kind(record, figures: Metrics, n, seed, level, method):
    cases = figures.cases
    intervals = _intervals(figures, n, seed, level, method) if n else {}
    in_strata = {place for places in figures.strata_names.values() for place in places.values()}
    for index, name in enumerate(figures.names):
        if index in in_strata:
            continue
        key = f"{cases.kind}_{name}"
        record["metrics"][key] = float(figures.estimates[index])
        if n:
            record["intervals"][key] = intervals[index]
    for stratum, places in figures.strata_names.items():
        count = figures.n_lesions_of(stratum)
        entry = record["strata"].setdefault(
            stratum, {"n_lesions": count, "n_lesions_of": {}, "metrics": {}, "intervals": {}}
        )
        entry["n_lesions_of"][cases.kind] = count
        for name, index in places.items():
            key = f"{cases.kind}_{name}"
            entry["metrics"][key] = float(figures.estimates[index])
            if n:
                entry["intervals"][key] = intervals[index]
    for criterion, curve in figures.curves.items():
        group = record["froc"].setdefault(cases.kind + criterion.rule, {})
        group[f"{criterion.threshold:.2f}"] = _curve(figures, criterion, curve, n, seed, level)


def _intervals(figures, n, seed, level, method):
    n_patients = figures.cases.n_patients
    samples = resampled(figures.values, patient_weights(n_patients, n, seed))
    left_out = leave_one_out(figures.values, n_patients)
    records = []
    for estimate, row, jackknife in zip(figures.estimates, samples, left_out, strict=True):
        plain = percentile(row, level)
        best = plain if method == "percentile" else bca_interval(estimate, row, jackknife, level)
        records.append(
            {
                "low": best.low,
                "high": best.high,
                "level": level,
                "method": best.method,
                "n": best.n,
                "percentile": [plain.low, plain.high],
            }
        )
    return records


def _curve(figures, criterion, curve, n, seed, level):
    keep = curve.vertices()
    keep = keep[curve.fp[keep] <= CURVE_FP]
    if len(keep) > CURVE_POINTS:
        keep = keep[np.unique(np.linspace(0, len(keep) - 1, CURVE_POINTS).round().astype(int))]
    places = low = high = None
    if n and len(keep) and curve.n_lesions and figures.cases.n_patients > 1:
        # Resampled curves rise elsewhere than this one: its points alone would draw the band
        # straight across their steps.
        grid = np.concatenate([curve.fp[keep], OPERATING_FPS, BAND_FPS])
        places = np.unique(grid[grid <= curve.fp[keep].max()])
        weights = patient_weights(figures.cases.n_patients, n, seed)
        samples = figures.weighted_curve(criterion).at(
            weights, places, figures.protocol.interpolation
        )[0]
        # A resample without lesions has no curve; all points of it are NaN.
        samples = samples[:, np.isfinite(samples).all(axis=0)]
        if samples.shape[1]:
            ends = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=1)
            low, high = ends.tolist()
    return {
        "fp": curve.fp[keep].tolist(),
        "sensitivity": curve.sensitivity[keep].tolist(),
        "score": curve.score[keep].tolist(),
        "band_fp": None if low is None else places.tolist(),
        "band_low": low,
        "band_high": high,
        "operating_points": [
            {
                "fp": fp,
                "sensitivity": curve.at(fp, figures.protocol.interpolation),
                "score": curve.threshold_at(fp),
            }
            for fp in OPERATING_FPS
        ],
    }


def write_json(record, path: str | Path) -> None:
    """Writes JSON, whole or not at all; NaN and infinity become `null`; a list goes on one line."""
    indent = None if isinstance(record, list) else 1
    atomic_files.write_json(path, _plain(record), indent=indent)


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
