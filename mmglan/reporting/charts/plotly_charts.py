"""The HTML report's charts, as Plotly's plain data."""

from __future__ import annotations

from typing import Any

from mmglan.evaluation.evaluation_record import Evaluation
from mmglan.evaluation.metric_values import is_3d
from mmglan.reporting.metric_words import curve_name, unit_of
from mmglan.reporting.page_tables import sorted_curves
from mmglan.reporting.scalars import Series, group

COLOURS = ("#66b2ff", "#ffb454", "#7ee787", "#ff7eb6", "#c9a7ff", "#4fd6d2", "#f4f08a", "#b0bec5")
MAX_POINTS = 1200
TICKS = (0.01, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)


def _spread(length: int, limit: int = MAX_POINTS) -> list[int]:
    """Return indices of at most `limit` points, first and last among them."""
    if length <= limit:
        return list(range(length))
    return sorted({round(i * (length - 1) / (limit - 1)) for i in range(limit)})


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _pick(values: Any, indices: list[int], scale: float = 1.0) -> list[float | None]:
    picked = (values[i] for i in indices)
    return [None if value is None else round(scale * value, 6) for value in picked]


def froc_chart(evaluation: Evaluation) -> dict[str, Any] | None:
    """Draw FROC curves with their bands, sensitivity in percent; None if there is no curve."""
    traces: list[dict[str, Any]] = []
    curves = sorted_curves(evaluation)
    for index, curve in enumerate(curves):
        keep = _spread(len(curve.fp))
        if not keep:
            continue
        name = curve_name(curve)
        colour = COLOURS[index % len(COLOURS)]
        # Bands on bands can not be read: only boxes of all classes are shown at first.
        first = curve.kind == curves[0].kind and curve.category is None
        shown = True if first else "legendonly"
        if curve.band is not None:
            inside = _spread(len(curve.band.fp))
            common = {"x": _pick(curve.band.fp, inside), "mode": "lines", "line": {"width": 0}}
            common |= {"hoverinfo": "skip", "showlegend": False, "visible": shown}
            common |= {"legendgroup": name}
            traces.append({**common, "y": _pick(curve.band.low, inside, 100)})
            high = {"y": _pick(curve.band.high, inside, 100), "fill": "tonexty"}
            traces.append({**common, **high, "fillcolor": _rgba(colour, 0.16)})
        traces.append(
            {
                "x": _pick(curve.fp, keep),
                "y": _pick(curve.sensitivity, keep, 100),
                "customdata": _pick(curve.score, keep),
                "mode": "lines",
                "name": name,
                "legendgroup": name,
                "visible": shown,
                "line": {"color": colour, "width": 2.5},
                "hovertemplate": f"%{{y:.1f}} % at %{{x:.3g}} FP per {unit_of(curve.kind)}"
                "<br>score ≥ %{customdata:.4~g}",
            }
        )
    if not traces:
        return None
    volumes = any(is_3d(curve.kind) for curve in curves)
    return {
        "data": traces,
        "layout": {
            "xaxis": {
                "title": {"text": "False positives per image" + ("", ", 3D: per volume")[volumes]},
                "type": "log",
                "tickmode": "array",
                "tickvals": list(TICKS),
                "ticktext": [f"{tick:g}" for tick in TICKS],
            },
            "yaxis": {"title": {"text": "Sensitivity, %"}, "range": [0, 102]},
        },
    }


def curves_chart(series: dict[str, Series], title: str, y: str) -> dict[str, Any] | None:
    """Draw values over iterations, one line per name; None where there are none."""
    traces = []
    for index, (name, (steps, values)) in enumerate(sorted(series.items())):
        keep = _spread(len(steps))
        traces.append(
            {
                "x": [steps[i] for i in keep],
                "y": [float(f"{values[i]:.6g}") for i in keep],
                "mode": "lines" if len(keep) > 1 else "markers",
                "name": name,
                "line": {"color": COLOURS[index % len(COLOURS)], "width": 2},
            }
        )
    if not traces:
        return None
    return {
        "data": traces,
        "layout": {
            "title": {"text": f"{title} by iteration", "font": {"size": 15}, "x": 0.02},
            "yaxis": {"title": {"text": y}},
        },
    }


def training_charts(scalars: dict[str, Series]) -> dict[str, dict[str, Any]]:
    """Draw learned σ, the weights 1/σ² and the unweighted losses, those that there are.

    Without the uncertainty wrapper the losses are the detector's own.
    """
    losses = group(scalars, "raw")
    if not losses:
        losses = {n: s for n, s in scalars.items() if "loss" in n and "/" not in n}
    charts = {
        "sigma": curves_chart(group(scalars, "sigma"), "Learned σ per task", "σ"),
        "weight": curves_chart(group(scalars, "weight"), "Weight per task", "weight"),
        "loss": curves_chart(losses, "Losses before weighting", "loss"),
    }
    return {name: chart for name, chart in charts.items() if chart}


def strata_chart(table: dict[str, Any]) -> dict[str, Any]:
    """Draw bars of some metrics by size stratum, from `size_strata.strata_table`."""
    labels = [f"{name}<br>n = {count}" for name, count in table["strata"]]
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": labels,
            "y": values,
            "marker": {"color": COLOURS[index % len(COLOURS)]},
        }
        for index, (name, values) in enumerate(table["bars"])
    ]
    layout = {"yaxis": {"title": {"text": "%"}, "range": [0, 102]}, "barmode": "group"}
    return {"data": traces, "layout": layout}
