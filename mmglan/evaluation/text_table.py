"""Evaluations and comparisons as tables for the terminal: percent with two decimals."""

from __future__ import annotations

import math

from mmglan.evaluation.evaluation_record import Confusion, Evaluation, ReportedCurve
from mmglan.evaluation.metric_values import KIND_WORDS
from mmglan.evaluation.resampling.bootstrap import Interval
from mmglan.evaluation.resampling.comparison import Comparison


def percent(value: float | None) -> str:
    """Format a fraction as percent with two decimals, `-` where it is not defined."""
    return "-" if value is None else f"{100 * value:.2f}"


def score_text(score: float | None) -> str:
    """Score threshold with four significant digits: near 0 decimals would all be the same."""
    return "-" if score is None or not math.isfinite(score) else f"{score:.4g}"


def format_evaluation(evaluation: Evaluation) -> str:
    """Format an evaluation; metrics in percent, score thresholds as they are."""
    size = evaluation.size
    lines = [
        f"{size.n_lesions} lesions, {size.n_images} images or volumes, "
        f"{size.n_patients} patients; protocol {evaluation.protocol.name}; percent"
    ]
    for kind, counts in evaluation.counts.items():
        lines += ["", f"{KIND_WORDS[kind]} ({counts.n_predictions} predictions)"]
        values = [value for value in evaluation.values if value.kind == kind]
        rows = [
            (value.short_name, percent(value.value), interval_text(value.interval))
            for value in values
            if value.stratum is None and value.category is None
        ]
        lines += columns(("metric", "value", "interval"), rows)
        for curve in evaluation.curves:
            if curve.kind == kind and curve.category is None:
                lines += _operating_points(curve)
        lines += _strata(kind, counts, values) + _by_class(evaluation, kind)
        for one in evaluation.confusions:
            lines += _confusion(one) if one.kind == kind else []
    return "\n".join(lines)


def format_comparison(comparison: Comparison) -> str:
    """Format a comparison; differences and intervals in percentage points."""
    rows = [
        (
            one.name,
            percent(one.first),
            percent(one.second),
            percent(one.difference),
            interval_text(one.interval) or "-",
            "-" if one.p_value is None else f"{one.p_value:.4f}",
        )
        for one in comparison.differences
    ]
    return "\n".join(columns(("metric", "A", "B", "A - B", "interval", "p"), rows))


def interval_text(interval: Interval | None) -> str:
    """Format an interval as `61.20 to 78.90`, or nothing."""
    return "" if interval is None else f"{percent(interval.low)} to {percent(interval.high)}"


def columns(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Align the lines of a table, the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def _operating_points(curve: ReportedCurve) -> list[str]:
    rows = [
        (f"{point.fp:g}", percent(point.sensitivity), score_text(point.score))
        for point in curve.operating_points
    ]
    title = f"{KIND_WORDS[curve.kind]}, {curve.criterion.words}"
    return ["", title, *columns(("FP", "sensitivity", "score from"), rows)]


def _strata(kind, counts, values) -> list[str]:
    rows, names = [], []
    for stratum in counts.strata:
        found = [value for value in values if value.stratum == stratum.name]
        names = [value.short_name for value in found]
        cells = (percent(value.value) for value in found)
        rows.append((stratum.name, str(stratum.n_lesions), *cells))
    if not rows:
        return []
    title = f"{KIND_WORDS[kind]}, by short axis"
    return ["", title, *columns(("short axis", "lesions", *names), rows)]


def _by_class(evaluation, kind) -> list[str]:
    rows = evaluation.by_class(kind)
    if not rows:
        return []
    cells = [
        (category, *(percent(value.value) for value in row.values()))
        for category, row in rows.items()
    ]
    title = f"{KIND_WORDS[kind]}, by class"
    return ["", title, *columns(("class", *next(iter(rows.values()))), cells)]


def _confusion(one: Confusion) -> list[str]:
    title = (
        f"{KIND_WORDS[one.kind]}, lesions (rows) found as (columns), {one.criterion.words}, "
        f"score from {score_text(one.score)}"
    )
    rows = zip((*one.classes, "no lesion"), one.counts, strict=True)
    cells = [(name, *map(str, row)) for name, row in rows]
    return ["", title, *columns(("", *one.classes, "missed"), cells)]
