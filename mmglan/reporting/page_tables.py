"""The HTML report's metrics as rows of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from mmglan.evaluation.detection_status import Rule
from mmglan.evaluation.evaluation_record import Evaluation, ReportedCurve
from mmglan.evaluation.metric_values import KIND_WORDS, MetricKey, MetricValue
from mmglan.evaluation.protocols import SEN_FP, Criterion
from mmglan.evaluation.text_table import score_text
from mmglan.reporting.metric_words import (
    curve_name,
    interval,
    kind_title,
    order,
    percent,
    unit_of,
    words,
)


def cards(evaluation: Evaluation) -> list[dict[str, str]]:
    """Return the metrics at the top of the page: name, percent and interval as text."""
    found = []
    for value in _first_values(evaluation):
        text = words(value).replace("Sensitivity", "Sens.").replace("per image", "/ image")
        span = interval(value.interval)
        level = f"{100 * value.interval.level:g} % interval {span}" if span else ""
        name = f"{kind_title(value.kind)}: {text}"
        found.append({"name": name, "value": percent(value.value), "interval": level})
    return found


def _first_values(evaluation: Evaluation) -> list[MetricValue]:
    """Choose AP and sensitivity, of boxes by two criteria and of masks by one."""
    keys = []
    for kind, count in (("bbox", 2), ("segm", 1)):
        precision = [MetricKey(kind, "AP", Criterion("iou", one)) for one in (0.25, 0.5)]
        rules = evaluation.protocol.criteria_2d
        sensitivity = [MetricKey(kind, "SEN", rule, SEN_FP) for rule in rules]
        pairs = list(zip_longest(precision, sensitivity))[:count]
        keys += [key for pair in pairs for key in pair if key is not None]
    values = [evaluation.get(key) for key in keys]
    return [value for value in values if value is not None and value.value is not None]


def metric_tables(
    evaluation: Evaluation, paper: Mapping[MetricKey, float] | None = None
) -> list[dict[str, Any]]:
    """Return every metric of lesions of all sizes with its interval, one table per kind.

    Args:
        evaluation: Of the run.
        paper: Percent in the paper, for the row that this run belongs to.
    """
    tables: dict[str, dict[str, Any]] = {}
    values = [
        value for value in evaluation.values if value.stratum is None and value.category is None
    ]
    for value in sorted(values, key=order):
        table = tables.setdefault(
            value.kind, {"name": kind_title(value.kind), "rows": [], "paper": bool(paper)}
        )
        printed = (paper or {}).get(value.key)
        table["rows"].append(
            {
                "name": words(value),
                "value": percent(value.value),
                "interval": interval(value.interval),
                "paper": "–" if printed is None else f"{printed:.2f}",
            }
        )
    return list(tables.values())


def class_tables(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return metrics by class and confusions, as tables of text; none without classes."""
    tables = []
    for kind in KIND_WORDS:
        rows = evaluation.by_class(kind)
        if rows:
            names = [words(replace(v, category=None)) for v in next(iter(rows.values())).values()]
            cells = [
                [category, *(percent(value.value) for value in row.values())]
                for category, row in rows.items()
            ]
            name = f"{kind_title(kind)}, percent"
            tables.append({"name": name, "columns": ["Class", *names], "rows": cells})
    for one in evaluation.confusions:
        tables.append(
            {
                "name": f"{kind_title(one.kind)}: lesions (rows) found as (columns), "
                f"{one.criterion.words}, score from {score_text(one.score)}",
                "columns": ["", *one.classes, "missed"],
                "rows": [
                    [name, *map(str, row)]
                    for name, row in zip((*one.classes, "no lesion"), one.counts, strict=True)
                ],
            }
        )
    return tables


def sorted_curves(evaluation: Evaluation) -> list[ReportedCurve]:
    """Return the FROC curves, boxes first, thresholds rising."""
    kinds = list(KIND_WORDS)
    return sorted(
        evaluation.curves,
        key=lambda c: (
            *(kinds.index(c.kind), c.category or ""),
            *(c.criterion.overlap, c.criterion.threshold),
        ),
    )


def operating_tables(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return sensitivity and score threshold at each operating point, a table per FROC curve."""
    tables = []
    for curve in sorted_curves(evaluation):
        if curve.category is not None:
            continue
        points = [
            {
                "fp": f"{point.fp:g}",
                "sensitivity": percent(point.sensitivity, 1),
                "score": "–" if point.score is None else score_text(point.score),
            }
            for point in curve.operating_points
        ]
        if points:
            table = {"name": curve_name(curve), "unit": unit_of(curve.kind), "points": points}
            tables.append(table)
    return tables


def rule_id(rule: Rule) -> str:
    """Return what a matching rule is called in the page's data: `bbox25`, `segm_centre`."""
    return rule.kind + rule.criterion.label


def rule_choices(rules: Iterable[Rule]) -> list[dict[str, str]]:
    """Return the matching rules that a reader of the page can choose from."""
    return [
        {"id": rule_id(rule), "words": f"{kind_title(rule.kind)}, {rule.criterion.words}"}
        for rule in rules
    ]


def operating_points(
    evaluation: Evaluation, rules: Iterable[Rule]
) -> dict[str, list[dict[str, Any]]]:
    """Return the operating points by matching rule, for the page's own use."""
    points = {}
    for rule in rules:
        curve = evaluation.curve(rule.kind, rule.criterion)
        points[rule_id(rule)] = [
            {
                "fp": f"{point.fp:g}",
                "score": None if point.score is None else round(point.score, 6),
            }
            for point in (curve.operating_points if curve else ())
        ]
    return points


def start_threshold(points: list[dict[str, Any]]) -> float:
    """Return the score threshold at 1 FP per image, else the one nearest to it, else 0.5."""
    usable = [p for p in points if p["score"] is not None]
    if not usable:
        return 0.5
    return min(usable, key=lambda p: (abs(float(p["fp"]) - 1), float(p["fp"])))["score"]
