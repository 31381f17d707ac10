"""Metrics in words, and fractions as percent."""

from __future__ import annotations

import math
from typing import get_args

from mmglan.evaluation.evaluation_record import ReportedCurve
from mmglan.evaluation.metric_values import KIND_WORDS, MetricKey, MetricName, is_3d
from mmglan.evaluation.resampling.bootstrap import Interval

_WORDS = {
    "AP": "AP at {rule}",
    "mAP": "COCO mAP, IoU 0.50 to 0.95",
    "SEN": "Sensitivity at {point} FP per {unit}, {rule}",
    "volumeSEN": "Volumes with a lesion found at {point} FP, {rule}",
    "FROC": "Sensitivity at {point} FP per {unit}, {rule}",
    "FROC_mean": "Mean sensitivity at 0.125 to 8 FP, {rule}",
    "recall": "Recall at {point} FP per {unit}, {rule}",
    "mRecall": "Mean recall at precision 0.10 to 0.50, {rule}",
}


def words(key: MetricKey) -> str:
    """Return a metric in words, without its kind: `Sensitivity at 5 FP per image, IoU 0.25`."""
    text = _WORDS[key.metric].format(
        rule=key.criterion.words if key.criterion else "",
        point="" if key.operating_point is None else f"{key.operating_point:g}",
        unit=unit_of(key.kind),
    )
    return f"{text}, {key.category}" if key.category else text


def kind_title(kind: str) -> str:
    """Return a kind as a heading: `Boxes`, `3D masks`."""
    text = KIND_WORDS[kind]
    return text[0].upper() + text[1:]


def unit_of(kind: str) -> str:
    """Return what false positives are counted over."""
    return "volume" if is_3d(kind) else "image"


def curve_name(curve: ReportedCurve) -> str:
    """Return a FROC curve in words: `3D boxes, IoBB 0.30`."""
    parts = [kind_title(curve.kind), curve.criterion.words, *filter(None, [curve.category])]
    return ", ".join(parts)


def order(key: MetricKey) -> tuple:
    """Return a sort key: boxes before masks, then by definition, criterion and operating point."""
    criterion = key.criterion
    return (
        list(KIND_WORDS).index(key.kind),
        key.category or "",
        get_args(MetricName).index(key.metric),
        ("", 0.0) if criterion is None else (criterion.overlap, criterion.threshold),
        key.operating_point or 0.0,
    )


def percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction as percent, an en dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f}"


def interval(found: Interval | None, digits: int = 1) -> str:
    """Return an interval as `61.2 – 78.9`, nothing where there is none."""
    return "" if found is None else f"{percent(found.low, digits)} – {percent(found.high, digits)}"
