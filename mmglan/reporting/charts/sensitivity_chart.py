"""Bars of the metrics of a table, a group per row: Fig. 6 of the paper."""

from __future__ import annotations

from typing import Any

from mmglan.reporting.charts.matplotlib_plots import new_figure
from mmglan.reporting.paper_tables import PaperTable
from mmglan.reporting.tables import Cell


def plot_table(table: PaperTable, cells: dict[str, list[Cell]]) -> Any:
    """Draw a panel per block of columns; rows without a run are left out, intervals are whiskers.

    Args:
        table: Any table.
        cells: Of `mmglan.reporting.tables.fill`.

    Returns:
        The figure; None where no run has a metric of the table.
    """
    rows = [row.name for row in table.rows if any(c.value is not None for c in cells[row.name])]
    if not rows:
        return None
    figure, panels = new_figure(
        1.5 + 5.0 * len(table.parts), 1.6 + 0.5 * len(rows), len(table.parts)
    )
    for axes, part in zip(panels, table.parts, strict=True):
        height = 0.8 / len(part.columns)
        for number, (key, name) in enumerate(zip(part.columns, part.names, strict=True)):
            column = [cells[row][table.columns.index(key)] for row in rows]
            places = [place + (number + 0.5) * height - 0.4 for place in range(len(rows))]
            values = [0.0 if c.value is None else c.value for c in column]
            bars = axes.barh(places, values, height, label=name, xerr=_whiskers(column))
            labels = ["–" if c.value is None else f"{c.value:.1f}" for c in column]
            axes.bar_label(bars, labels, padding=3, fontsize=8)
        axes.set_yticks(range(len(rows)), rows)
        axes.invert_yaxis()
        axes.set_xlim(0, 115)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("%")
        axes.set_title(part.heading)
        axes.legend(loc="lower right", fontsize=8)
    figure.suptitle(table.title.split(". ", 1)[-1])
    return figure


def _whiskers(column: list[Cell]) -> list[list[float]]:
    """Return how far the intervals reach below and above the values; 0 where there is none."""
    low = [0.0 if c.low is None or c.value is None else max(c.value - c.low, 0) for c in column]
    high = [0.0 if c.high is None or c.value is None else max(c.high - c.value, 0) for c in column]
    return [low, high]
