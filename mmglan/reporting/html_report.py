"""One self-contained HTML page per run: figures, FROC, size strata, learned σ and the cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2

from mmglan.reporting.case_data import MAX_PREDICTIONS, case_data, choose, totals
from mmglan.reporting.findings import ImageFindings
from mmglan.reporting.page_tables import (
    cards,
    number_tables,
    operating_points,
    operating_tables,
    start_threshold,
)
from mmglan.reporting.plotly_charts import froc_figure, strata_figure, training_figures
from mmglan.reporting.provenance import provenance_rows
from mmglan.reporting.scalars import Series
from mmglan.reporting.size_strata import strata_table

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (
    ("summary", "Summary"),
    ("cases", "DetectionSet"),
    ("froc", "FROC"),
    ("numbers", "All figures"),
    ("strata", "Lesion size"),
    ("training", "Training"),
)
COUNTS = (("n_images", "slice"), ("n_patients", "patient"), ("n_lesions", "lesion"))


def _script_json(value: Any) -> str:
    """JSON that can stand in a `<script>` element whatever text is in it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")


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
    run_info: dict[str, Any] | None = None,
    thresholds: tuple[float, ...] = (0.25, 0.5),
    max_cases: int = 300,
    max_side: int = 640,
    progress: Callable[[Iterable], Iterable] = iter,
) -> str:
    """The whole report as one HTML text that needs no other file and no network.

    Args:
        metrics: content of `results.metrics.json`.
        findings: from `mmglan.reporting.findings.mark_findings`.
        image_root: folder to which the findings' `file_name` is relative.
        title: heading, e.g. the config's name.
        scalars: training curves, from `mmglan.reporting.scalars.read_scalars`.
        paper: the paper's figures of the table row that this run belongs to, percent.
        run_info: content of `run_info.json`.
        thresholds: IoU thresholds of the case browser; the findings must hold them.
        max_cases: no more slices than these are embedded, those with errors first.
        max_side: longer side of the embedded slices, pixels.
        progress: wraps the loop over cases.

    Returns:
        HTML.
    """
    points = operating_points(metrics)
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
        "n_lesions": sum(len(image.lesions) for image in findings),
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
        cards=cards(metrics),
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
        origin=provenance_rows(run_info or {}),
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
            "and false alarms first; the counts in words are of all slices. "
        )
    if any(len(image.predictions) > MAX_PREDICTIONS for image in chosen):
        note += f"Each slice shows its {MAX_PREDICTIONS} best predictions at most."
    return note.strip()
