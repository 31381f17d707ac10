"""FROC and σ plots (matplotlib), for papers and for machines without a browser."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_prep.atomic_files import write_bytes
from mmglan.evaluation.evaluate import CURVE_FP
from mmglan.evaluation.evaluation_record import Evaluation
from mmglan.reporting.metric_words import kind_title, unit_of
from mmglan.reporting.page_tables import sorted_curves
from mmglan.reporting.scalars import Series, group

TICKS = (0.125, 0.25, 0.5, 1, 2, 4, 8)


def new_figure(width: float, height: float, columns: int = 1):
    """Make an empty figure and its row of axes."""
    # The object-oriented interface: no display, no global state, safe in threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def save(figure: Any, path: Path, *, dpi: int = 150) -> Path:
    """Write a figure in one step; the ending names the format (png, pdf, svg).

    Neither dates nor version numbers are stored, so that the same figure gives the same bytes.
    """
    path = Path(path)
    kind = path.suffix.lstrip(".") or "png"
    if kind not in ("png", "pdf", "svg"):
        raise ValueError(f"{path.name}: Expected a file name in .png, .pdf or .svg.")
    return write_bytes(path, figure_bytes(figure, kind, dpi=dpi))


def figure_bytes(figure: Any, kind: str = "png", *, dpi: int = 150) -> bytes:
    """Return a figure as a file of a kind; see `save`."""
    empty = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=dpi, metadata=empty[kind])
    return stream.getvalue()


def _percent(values: Iterable[float | None]) -> list[float]:
    return [float("nan") if value is None else 100 * value for value in values]


def plot_froc(
    evaluations: dict[str, Evaluation],
    *,
    kind: str = "bbox",
    overlap: str | None = None,
    threshold: float | None = None,
    max_fp: float = 8.0,
) -> Any:
    """Plot the FROC curves of one or more runs with their confidence bands.

    Args:
        evaluations: By label.
        kind: `bbox`, `segm`, `bbox3d` or `segm3d`.
        overlap: `iou`, `iobb` …; every one where None.
        threshold: 0.25 …; every one where None.
        max_fp: right end of the axis, false positives per image; no further than the curves of
            the files go.

    Returns:
        A matplotlib figure with sensitivity in percent over false positives per image, log₂ axis.

    Raises:
        ValueError: no run has such a curve, or an axis that ends where curves are not known.
    """
    if not TICKS[0] < max_fp <= CURVE_FP:
        raise ValueError(
            f"Expected the axis to end above {TICKS[0]:g} and at {CURVE_FP:g} false positives at "
            f"most, where the curves of metrics files end, but got {max_fp}."
        )
    figure, (axes,) = new_figure(6.4, 4.8)
    drawn = 0
    for label, evaluation in evaluations.items():
        for curve in sorted_curves(evaluation):
            rule = curve.criterion
            wanted = overlap in (None, rule.overlap) and threshold in (None, rule.threshold)
            if curve.kind != kind or not wanted:
                continue
            name = ", ".join(filter(None, [label, rule.words, curve.category]))
            fp, sensitivity = list(curve.fp), _percent(curve.sensitivity)
            # To the right of its last point the curve keeps its last sensitivity.
            end = [max_fp] if fp and fp[-1] < max_fp else []
            (line,) = axes.plot(fp + end, sensitivity + sensitivity[-1:] * len(end), label=name)
            if curve.band is not None:
                low, high = _percent(curve.band.low), _percent(curve.band.high)
                colour = line.get_color()
                axes.fill_between(curve.band.fp, low, high, color=colour, alpha=0.18, linewidth=0)
            drawn += 1
    if not drawn:
        wanted = " ".join(str(part) for part in (kind, overlap, threshold) if part is not None)
        raise ValueError(f"Expected a FROC curve for {wanted} but got none in the metrics files.")
    axes.set_xscale("log", base=2)
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.set_xlim(TICKS[0] / 1.5, max_fp)
    axes.set_ylim(0, 101)
    axes.set(xlabel=f"False positives per {unit_of(kind)}", ylabel="Sensitivity, %")
    axes.set_title(kind_title(kind))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    return figure


def plot_sigmas(scalars: dict[str, Series]) -> Any:
    """Plot learned σ and weight of each task over training, side by side.

    Args:
        scalars: from `mmglan.reporting.scalars.read_scalars`.

    Returns:
        A matplotlib figure; σ on the left, the weight of the task's loss on the right; a log
        axis where the values differ by more than a factor of 20.

    Raises:
        ValueError: the log holds neither.
    """
    sigmas, weights = group(scalars, "sigma"), group(scalars, "weight")
    if not sigmas and not weights:
        raise ValueError(
            "Expected sigma_<task> in the training log but got none. "
            "Only runs with the uncertainty loss have them."
        )
    figure, panels = new_figure(11, 4.2, 2)
    for axes, series, name in zip(panels, (sigmas, weights), ("σ", "weight"), strict=True):
        for task, (steps, values) in sorted(series.items()):
            axes.plot(steps, values, label=task, marker="." if len(steps) == 1 else "")
        axes.set(xlabel="iteration", ylabel=name)
        axes.grid(alpha=0.3)
        if series:
            axes.legend(fontsize="small")
            ends = [end for _, values in series.values() for end in (min(values), max(values))]
            if min(ends) > 0 and max(ends) > 20 * min(ends):
                axes.set_yscale("log")
    return figure
