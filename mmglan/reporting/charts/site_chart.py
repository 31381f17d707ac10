"""FROC curves by site (node type)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data_prep.shown_text import printable
from mmglan.evaluation.site_results import ALL_SITES, CURVE_FPS, SiteResult
from mmglan.reporting.charts.matplotlib_plots import TICKS, new_figure
from mmglan.reporting.metric_words import kind_title, unit_of

# Colours repeat after ten curves, line styles then change.
STYLES = ("-", "--", ":", "-.")


def plot_sites(results: Sequence[SiteResult], min_lesions: int) -> Any:
    """Draw a panel per kind and criterion, a curve per site with at least `min_lesions` lesions.

    Args:
        results: Of `mmglan.evaluation.site_results`.
        min_lesions: Curves of fewer lesions are left out.

    Returns:
        The figure; sensitivity in percent over false positives per image, log₂ axis.
    """
    panels = list(dict.fromkeys((one.kind, one.criterion) for one in results))
    drawn = [one for one in results if one.site == ALL_SITES or one.n_lesions >= min_lesions]
    figure, axes = new_figure(5.4 * len(panels), 4.8, len(panels))
    for panel, of_panel in zip(axes, panels, strict=True):
        curves = [one for one in drawn if (one.kind, one.criterion) == of_panel]
        for number, one in enumerate(curves):
            whole = one.site == ALL_SITES
            style = dict(color="black", linewidth=2.5) if whole else dict(color=f"C{number - 1}")
            panel.plot(
                CURVE_FPS,
                [100 * value for value in one.sensitivity],
                # A dollar would begin a formula.
                label=f"{printable(one.site)} (n = {one.n_lesions})".replace("$", r"\$"),
                linestyle=STYLES[max(number - 1, 0) // 10 % len(STYLES)],
                **style,
            )
        panel.set_xscale("log", base=2)
        panel.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        panel.set_ylim(-2, 102)
        panel.set(xlabel=f"False positives per {unit_of(of_panel[0])}", ylabel="Sensitivity, %")
        panel.set_title(f"{kind_title(of_panel[0])}, {of_panel[1]}")
        panel.grid(alpha=0.3)
        panel.legend(loc="best", fontsize="small")
    return figure
