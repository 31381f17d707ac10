"""The HTML report's figures as rows of text."""

from __future__ import annotations

from typing import Any

from mmglan.evaluation.text_table import score_text
from mmglan.reporting.metric_words import (
    KINDS,
    curve_name,
    interval,
    number,
    order,
    percent,
    plain,
    split_key,
    words,
)
from mmglan.reporting.plotly_charts import froc_curves

CARDS = ("bbox_AP25", "bbox_SEN25", "bbox_AP50", "bbox_SEN50", "segm_AP25", "segm_SEN25")


def cards(metrics: dict[str, Any]) -> list[dict[str, str]]:
    """The figures at the top of the page: name, percent and interval as text."""
    values, intervals = plain(metrics["metrics"]), plain(metrics.get("intervals") or {})
    found = []
    for key in CARDS:
        if number(values.get(key)) is None:
            continue
        kind, name = split_key(key)
        record = intervals.get(key)
        level = f"{100 * (record or {}).get('level', 0.95):g}"
        span = interval(record)
        short = words(name).replace("Sensitivity", "Sens.").replace("per image", "/ image")
        found.append(
            {
                "name": f"{KINDS[kind]}: {short}",
                "value": percent(values[key]),
                "interval": f"{level} % interval {span}" if span else "",
            }
        )
    return found


def number_tables(
    metrics: dict[str, Any], paper: dict[str, float] | None = None
) -> list[dict[str, Any]]:
    """Every metric with its interval, one table per kind.

    Args:
        metrics: content of a metrics file.
        paper: key (`bbox_AP25`) -> percent in the paper, for the row that this run belongs to.
    """
    values, intervals = plain(metrics["metrics"]), plain(metrics.get("intervals") or {})
    tables: dict[str, dict[str, Any]] = {}
    for key in sorted(values, key=order):
        kind, name = split_key(key)
        table = tables.setdefault(
            kind, {"name": KINDS.get(kind, "Other"), "rows": [], "paper": bool(paper)}
        )
        printed = (paper or {}).get(key)
        table["rows"].append(
            {
                "name": words(name, kind),
                "value": percent(values[key]),
                "interval": interval(intervals.get(key)),
                "paper": "–" if printed is None else f"{printed:.2f}",
            }
        )
    return list(tables.values())


def operating_tables(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Sensitivity and score threshold at each operating point, one table per FROC curve."""
    tables = []
    for kind, threshold, curve in froc_curves(metrics):
        points = [
            {
                "fp": f"{point['fp']:g}",
                "sensitivity": percent(point.get("sensitivity"), 1),
                "score": "–" if point.get("score") is None else score_text(point["score"]),
            }
            for point in curve.get("operating_points") or []
        ]
        if points:
            name = curve_name(kind, threshold)
            unit = "volume" if "3d" in kind else "image"
            tables.append({"name": name, "unit": unit, "points": points})
    return tables


def operating_points(metrics: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Box IoU threshold (as text) -> its operating points, for the page's own use."""
    points = {}
    for kind, threshold, curve in froc_curves(metrics):
        if kind == "bbox":
            points[f"{float(threshold):g}"] = [
                {
                    "fp": f"{point['fp']:g}",
                    "score": None
                    if number(point.get("score")) is None
                    else round(float(point["score"]), 6),
                }
                for point in curve.get("operating_points") or []
            ]
    return points


def box_thresholds(metrics: dict[str, Any]) -> tuple[float, ...]:
    """Box IoU thresholds of the run's FROC curves, rising; 0.25 and 0.50 where it has none."""
    found = sorted(float(threshold) for threshold in (metrics.get("froc") or {}).get("bbox", {}))
    return tuple(found) or (0.25, 0.5)


def start_threshold(points: list[dict[str, Any]]) -> float:
    """The score threshold at 1 FP per image, else the one nearest to it, else 0.5."""
    usable = [p for p in points if p["score"] is not None]
    if not usable:
        return 0.5
    return min(usable, key=lambda p: (abs(float(p["fp"]) - 1), float(p["fp"])))["score"]
