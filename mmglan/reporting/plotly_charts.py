"""The HTML report's plots, as Plotly's plain data."""

from __future__ import annotations

from typing import Any

from mmglan.reporting.metric_words import KINDS, curve_name, number
from mmglan.reporting.scalars import Series, group

COLOURS = ("#66b2ff", "#ffb454", "#7ee787", "#ff7eb6", "#c9a7ff", "#4fd6d2", "#f4f08a", "#b0bec5")
MAX_POINTS = 1200
TICKS = (0.01, 0.03125, 0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)


def _thin(length: int, limit: int = MAX_POINTS) -> list[int]:
    """Indices of at most `limit` points, first and last among them."""
    if length <= limit:
        return list(range(length))
    return sorted({round(i * (length - 1) / (limit - 1)) for i in range(limit)})


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _pick(values: Any, indices: list[int], scale: float = 1.0) -> list[float | None]:
    picked = (number(values[i]) for i in indices)
    return [None if v is None else round(scale * v, 6) for v in picked]


def _place(kind: str) -> int:
    base = kind.partition("_")[0]
    return list(KINDS).index(base) if base in KINDS else len(KINDS)


def froc_curves(metrics: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(kind, IoU threshold as text, curve) of a metrics file, boxes first, thresholds rising."""
    froc = metrics.get("froc") or {}
    kinds = sorted(froc, key=lambda kind: (_place(kind), kind))
    return [(k, t, froc[k][t]) for k in kinds for t in sorted(froc[k], key=float)]


def band_fp(curve: dict[str, Any]) -> list[float]:
    """False positives per image at which a curve's band stands; files of old: the curve's own."""
    return curve.get("band_fp") or curve["fp"]


def froc_figure(metrics: dict[str, Any]) -> dict[str, Any] | None:
    """FROC curves with their bands, sensitivity in percent; None where there is no curve."""
    traces: list[dict[str, Any]] = []
    curves = froc_curves(metrics)
    first = curves[0][0] if curves else ""
    for index, (kind, threshold, curve) in enumerate(curves):
        keep = _thin(len(curve["fp"]))
        if not keep:
            continue
        name = curve_name(kind, threshold)
        colour = COLOURS[index % len(COLOURS)]
        # Bands on bands can not be read: only boxes are shown until the reader picks others.
        shown = True if kind == first else "legendonly"
        fp = _pick(curve["fp"], keep)
        if curve.get("band_low") and curve.get("band_high"):
            across = band_fp(curve)
            inside = _thin(len(across))
            common = {"x": _pick(across, inside), "mode": "lines", "line": {"width": 0}}
            common |= {"hoverinfo": "skip", "showlegend": False, "visible": shown}
            common |= {"legendgroup": name}
            traces.append({**common, "y": _pick(curve["band_low"], inside, 100)})
            high = {"y": _pick(curve["band_high"], inside, 100), "fill": "tonexty"}
            traces.append({**common, **high, "fillcolor": _rgba(colour, 0.16)})
        traces.append(
            {
                "x": fp,
                "y": _pick(curve["sensitivity"], keep, 100),
                "customdata": _pick(curve["score"], keep),
                "mode": "lines",
                "name": name,
                "legendgroup": name,
                "visible": shown,
                "line": {"color": colour, "width": 2.5},
                "hovertemplate": f"%{{y:.1f}} % at %{{x:.3g}} FP per {_case_of(kind)}"
                "<br>score ≥ %{customdata:.4~g}",
            }
        )
    if not traces:
        return None
    volumes = any(_case_of(kind) == "volume" for kind, _, _ in curves)
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


def _case_of(kind: str) -> str:
    """What false positives are counted over."""
    return "volume" if "3d" in kind else "image"


def curves_figure(series: dict[str, Series], title: str, y: str) -> dict[str, Any] | None:
    """Values over iterations, one line per name; None where there are none."""
    traces = []
    for index, (name, (steps, values)) in enumerate(sorted(series.items())):
        keep = _thin(len(steps))
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


def training_figures(scalars: dict[str, Series]) -> dict[str, dict[str, Any]]:
    """Metrics of learned σ, of the weights 1/σ² and of the unweighted losses, those there are.

    Without the uncertainty wrapper the losses are the detector's own.
    """
    losses = group(scalars, "raw")
    if not losses:
        losses = {n: s for n, s in scalars.items() if "loss" in n and "/" not in n}
    figures = {
        "sigma": curves_figure(group(scalars, "sigma"), "Learned σ per task", "σ"),
        "weight": curves_figure(group(scalars, "weight"), "Weight per task", "weight"),
        "loss": curves_figure(losses, "Losses before weighting", "loss"),
    }
    return {name: figure for name, figure in figures.items() if figure}


def strata_figure(table: dict[str, Any]) -> dict[str, Any]:
    """Bars of some figures by size stratum, from `mmglan.reporting.size_strata.strata_table`."""
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
