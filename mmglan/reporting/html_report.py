"""One self-contained HTML page per run: metrics, FROC, size strata, learned σ and the slices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from data_prep.shown_text import chart_text
from mmglan.evaluation.detection_status import TestSetStatus
from mmglan.evaluation.evaluation_record import Evaluation
from mmglan.evaluation.metric_values import MetricKey
from mmglan.reporting.charts.plotly_charts import froc_chart, strata_chart, training_charts
from mmglan.reporting.page_tables import (
    cards,
    class_tables,
    metric_tables,
    operating_points,
    operating_tables,
    rule_choices,
    rule_id,
    start_threshold,
)
from mmglan.reporting.provenance import provenance_rows
from mmglan.reporting.scalars import Series
from mmglan.reporting.size_strata import strata_table
from mmglan.reporting.slice_data import MAX_DETECTIONS, choose, slice_data, totals

TEMPLATES = Path(__file__).parent / "templates"
SECTIONS = (
    ("summary", "Summary"),
    ("slices", "Slices"),
    ("froc", "FROC"),
    ("metrics", "All metrics"),
    ("strata", "Lesion size"),
    ("training", "Training"),
)
COUNTS = (("n_images", "slice"), ("n_patients", "patient"), ("n_lesions", "lesion"))


def build_report(
    evaluation: Evaluation,
    status: TestSetStatus,
    image_root: Path,
    *,
    title: str,
    scalars: dict[str, Series] | None = None,
    paper: dict[MetricKey, float] | None = None,
    run_info: dict[str, Any] | None = None,
    notes: Iterable[str] = (),
    max_slices: int = 300,
    max_side: int = 640,
    progress: Callable[[Iterable], Iterable] = iter,
) -> str:
    """Build the whole report as one HTML text that needs no other file and no network.

    Args:
        evaluation: of the run.
        status: from `mmglan.evaluation.detection_status.status_of_images`, with the protocol of
            the evaluation.
        image_root: folder to which the images' `file_name` is relative.
        title: heading, e.g. the config's name.
        scalars: training curves, from `mmglan.reporting.scalars.read_scalars`.
        paper: the paper's metrics of the table row that this run belongs to, percent.
        run_info: content of `run_info.json`.
        notes: sentences for the summary.
        max_slices: no more slices than these are embedded, those with errors first.
        max_side: longer side of the embedded slices, pixels.
        progress: wraps the loop over slices.

    Returns:
        HTML.
    """
    rules = status.rules
    points = operating_points(evaluation, rules)
    start = start_threshold(points[rule_id(rules[0])])
    chosen = choose(status, max_slices, rules[0], start)
    slices, embedded = slice_data(status, image_root, chosen, max_side=max_side, progress=progress)
    strata = strata_table(evaluation)
    training = training_charts(scalars or {})
    charts = {"froc": froc_chart(evaluation), **training}
    if strata:
        charts["strata"] = strata_chart(strata)
    data = {
        "slices": slices,
        "totals": totals(status),
        "points": points,
        "rules": rule_choices(rules),
        "start": start,
        "n_images": len(status.gt.images),
        "n_lesions": int(status.first_lesions[-1]),
        "charts": {name: _texts(chart) for name, chart in charts.items() if chart},
    }
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("report.html").render(
        title=title,
        subtitle=_subtitle(evaluation),
        sections=SECTIONS,
        cards=cards(evaluation),
        notes=[
            "Intervals come from a bootstrap over patients. The score thresholds belong to this "
            "model on this test set.",
            *notes,
        ],
        n_slices=len(slices),
        slice_note=_slice_note(status, chosen),
        operating=operating_tables(evaluation),
        metrics=metric_tables(evaluation, paper),
        classes=class_tables(evaluation),
        paper_note="The paper's metrics were measured on other data; they show the order of "
        "magnitude, not a target."
        if paper
        else "",
        strata=strata,
        training=_training_note(training),
        origin=provenance_rows(run_info or {}),
        images=embedded,
        data=_script_json(data),
        css=_text("report.css"),
        js=_text("slice_browser.js", "controls.js"),
        plotly=_plotly(),
        charts=_text("charts.js"),
    )


def _texts(chart: Any) -> Any:
    """Return a chart whose texts hold no tags, whatever the names of its series are."""
    if isinstance(chart, dict):
        return {key: _texts(value) for key, value in chart.items()}
    if isinstance(chart, list):
        return [_texts(value) for value in chart]
    return chart_text(chart) if isinstance(chart, str) else chart


def _script_json(value: Any) -> str:
    """Encode JSON that can stand in a `<script>` element whatever text is in it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")


def _text(*names: str) -> str:
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _subtitle(evaluation: Evaluation) -> str:
    if not evaluation.counts:
        return ""
    parts = []
    for name, singular in COUNTS:
        count = getattr(evaluation.size, name)
        parts.append(f"{count:,} {singular}{'' if count == 1 else 's'}")
    return "Test set: " + ", ".join(parts)


def _training_note(charts: dict[str, Any]) -> str:
    if "sigma" in charts:
        return "From the training log; the weight of a task's loss is 1/σ²."
    return "The losses of the training log. This run learned no σ." if charts else ""


def _slice_note(status: TestSetStatus, chosen: list[int]) -> str:
    count = len(status.gt.images)
    if not count:
        return "The test set holds no slices."
    note = "Statuses follow the matching rule chosen below. "
    if len(chosen) < count:
        note += (
            f"{len(chosen):,} of {count:,} slices are in this file, those with most missed "
            "lesions and false positives first; the counts in words are of all slices. "
        )
    detections = np.bincount(status.boxes.image, minlength=count)
    if (detections[chosen] > MAX_DETECTIONS).any():
        note += f"Each slice shows its {MAX_DETECTIONS} detections of the highest scores at most."
    return note.strip()
