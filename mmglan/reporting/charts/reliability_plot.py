"""Reliability picture: observed share of lesions over predicted probability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmglan.evaluation.calibration import Reliability
from mmglan.reporting.charts.matplotlib_plots import new_figure


def plot_reliability(panels: Mapping[str, Reliability]) -> Any:
    """Plot one panel per entry, `before` and `after` calibration.

    The area of a point is in proportion to the detections of its bin.

    Returns:
        A matplotlib figure.
    """
    figure, axes = new_figure(3.4 * len(panels), 4.4, len(panels))
    for axis, (name, found) in zip(axes, panels.items(), strict=True):
        total = sum(part.count for part in found.bins)
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        axis.plot([b.predicted for b in found.bins], [b.observed for b in found.bins], "C0-")
        axis.scatter(
            [b.predicted for b in found.bins],
            [b.observed for b in found.bins],
            s=[20 + 400 * b.count / total for b in found.bins],
            color="C0",
            alpha=0.6,
        )
        for part in found.bins:
            axis.annotate(
                str(part.count),
                (part.predicted, part.observed),
                textcoords="offset points",
                xytext=(5, 5),
                fontsize=7,
            )
        title = f"{name}\nECE {100 * found.error:.1f} %"
        if found.interval is not None:
            title += f" [{100 * found.interval.low:.1f}, {100 * found.interval.high:.1f}]"
        axis.set_title(title, fontsize="medium")
        axis.set(
            xlim=(-0.05, 1.05), ylim=(-0.05, 1.08), xlabel="Predicted probability", aspect="equal"
        )
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("Share of lesions")
    return figure
