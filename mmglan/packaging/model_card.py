"""The page of a model file for people: what the model is for, and how good it is."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import jinja2

from mmglan.evaluation.calibration import Reliability
from mmglan.evaluation.metrics import OPERATING_FPS
from mmglan.inference.model_file import ModelRecord
from mmglan.reporting.charts.matplotlib_plots import figure_bytes
from mmglan.reporting.charts.reliability_plot import plot_reliability

_TEMPLATE = Path(__file__).parent / "templates" / "card.html"


def card_page(record: ModelRecord, panels: Mapping[str, Reliability]) -> str:
    """Return a page that needs no other file.

    Args:
        record: What is known of the model.
        panels: Reliability before and after calibration; empty without calibration.
    """
    picture = figure_bytes(plot_reliability(panels), dpi=100) if panels else b""
    points = [(fp, record.froc.threshold_at(fp), _sensitivity(record, fp)) for fp in OPERATING_FPS]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        record=record,
        panels=panels,
        points=points,
        picture=base64.b64encode(picture).decode(),
        percent=lambda value: "–" if value is None else f"{100 * value:.1f}",
        span=lambda ends: " to ".join(f"{end:g}" for end in sorted(set(ends))),
    )


def _sensitivity(record: ModelRecord, fp: float) -> float | None:
    reached = [s for f, s in zip(record.froc.fp, record.froc.sensitivity, strict=True) if f <= fp]
    return max(reached, default=None)
