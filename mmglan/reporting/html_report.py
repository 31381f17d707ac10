"""One self-contained HTML page per run: figures, FROC, size strata, learned σ and the cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2

from mmglan.reporting.case_data import case_data, choose, totals
from mmglan.reporting.figures import froc_curves, froc_figure, strata_figure, training_figures
from mmglan.reporting.findings import ImageFindings
from mmglan.reporting.names import (
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
from mmglan.reporting.scalars import Series
from mmglan.reporting.strata import strata_table

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (
    ("summary", "Summary"),
    ("cases", "Cases"),
    ("froc", "FROC"),
    ("numbers", "All figures"),
    ("strata", "Lesion size"),
    ("training", "Training"),
)
COUNTS = (("n_images", "slice"), ("n_patients", "patient"), ("n_lesions", "lesion"))
CARDS = ("bbox_AP25", "bbox_SEN25", "bbox_AP50", "bbox_SEN50", "segm_AP25", "segm_SEN25")


def _script_json(value: Any) -> str:
    """JSON that can stand in a ``<script>`` element whatever text is in it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")


def _cards(metrics: dict[str, Any]) -> list[dict[str, str]]:
    values, intervals = plain(metrics["metrics"]), plain(metrics.get("intervals") or {})
    cards = []
    for key in CARDS:
        if number(values.get(key)) is None:
            continue
        kind, name = split_key(key)
        record = intervals.get(key)
        level = round(100 * (record or {}).get("level", 0.95))
        span = interval(record)
        short = words(name).replace("Sensitivity", "Sens.").replace("per image", "/ image")
        cards.append(
            {
                "name": f"{KINDS[kind]}: {short}",
                "value": percent(values[key]),
                "interval": f"{level} % interval {span}" if span else "",
            }
        )
    return cards


def number_tables(
    metrics: dict[str, Any], paper: dict[str, float] | None = None
) -> list[dict[str, Any]]:
    """Every metric with its interval, one table per kind.

    Args:
        metrics: content of a metrics file.
        paper: key (``bbox_AP25``) -> percent in the paper, for the row that this run belongs to.
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
                "score": "–" if number(point.get("score")) is None else f"{point['score']:.3f}",
            }
            for point in curve.get("operating_points") or []
        ]
        if points:
            name = curve_name(kind, threshold)
            tables.append({"name": name, "points": points})
    return tables


def _points(metrics: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
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


def _subtitle(metrics: dict[str, Any]) -> str:
    parts = []
    for key, singular in COUNTS:
        count = metrics.get(key)
        if count is not None:
            parts.append(f"{count:,} {singular}{'' if count == 1 else 's'}")
    return "Test set: " + ", ".join(parts) if parts else ""


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def build_report(
    metrics: dict[str, Any],
    findings: list[ImageFindings],
    image_root: Path,
    *,
    title: str,
    scalars: dict[str, Series] | None = None,
    paper: dict[str, float] | None = None,
    thresholds: tuple[float, ...] = (0.25, 0.5),
    max_cases: int = 300,
    max_side: int = 640,
    progress: Callable[[Iterable], Iterable] = iter,
) -> str:
    """The whole report as one HTML text that needs no other file and no network.

    Args:
        metrics: content of ``results.metrics.json``.
        findings: from :func:`mmglan.reporting.findings.mark_findings`.
        image_root: folder to which the findings' ``file_name`` is relative.
        title: heading, e.g. the config's name.
        scalars: training curves, from :func:`mmglan.reporting.scalars.read_scalars`.
        paper: the paper's figures of the table row that this run belongs to, percent.
        thresholds: IoU thresholds of the case browser; the findings must hold them.
        max_cases: no more slices than these are embedded, those with errors first.
        max_side: longer side of the embedded slices, pixels.
        progress: wraps the loop over cases.

    Returns:
        HTML.
    """
    points = _points(metrics)
    first = f"{thresholds[0]:g}"
    start = start_threshold(points.get(first, []))
    chosen = choose(findings, max_cases, thresholds[0], start)
    cases, pictures = case_data(
        findings, image_root, chosen=chosen, max_side=max_side, progress=progress
    )
    strata = strata_table(metrics)
    curves = training_figures(scalars or {})
    figures = {"froc": froc_figure(metrics), **curves}
    if strata:
        figures["strata"] = strata_figure(strata)
    data = {
        "cases": cases,
        "totals": totals(findings, thresholds),
        "points": points,
        "ious": [f"{threshold:g}" for threshold in thresholds],
        "start": start,
        "n_images": len(findings),
        "n_lesions": sum(len(image.truths) for image in findings),
        "figures": {name: figure for name, figure in figures.items() if figure},
    }
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )

    def text(*names: str) -> str:
        return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)

    return environment.get_template("report.html").render(
        title=title,
        subtitle=_subtitle(metrics),
        sections=SECTIONS,
        cards=_cards(metrics),
        notes=[
            "Intervals come from a bootstrap over patients. The score thresholds belong to this "
            "model on this test set."
        ],
        n_cases=len(cases),
        case_note=_case_note(findings, chosen),
        operating=operating_tables(metrics),
        numbers=number_tables(metrics, paper),
        paper_note="The paper's figures were measured on other data; they show the order of "
        "magnitude, not a target."
        if paper
        else "",
        strata=strata,
        training="From the training log; the weight of a task's loss is 1/σ²."
        if "sigma" in curves
        else "The losses of the training log. This run learned no σ."
        if curves
        else "",
        images=pictures,
        data=_script_json(data),
        css=text("report.css"),
        js=text("cases.js", "controls.js"),
        plotly=_plotly(),
        charts=text("charts.js"),
    )


def _case_note(findings: list[ImageFindings], chosen: list[ImageFindings]) -> str:
    if not findings:
        return "The test set holds no slices."
    note = "Statuses follow the box IoU chosen below. "
    if len(chosen) < len(findings):
        note += (
            f"{len(chosen):,} of {len(findings):,} slices are in this file, those with most misses "
            "and false alarms first; the counts in words are of all slices."
        )
    return note.strip()
