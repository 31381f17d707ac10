"""The paper's tables with the metrics of runs beside the printed ones: Markdown, CSV and LaTeX."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from data_prep import atomic_files
from data_prep.shown_text import markdown_text
from mmglan.evaluation.metric_values import MetricKey
from mmglan.reporting.paper_tables import PaperTable, Part, Row
from mmglan.reporting.run_files import Run

MARK = "measured on other data"
NOTE = (
    "Paper: Wang et al., Medical Image Analysis 2021, measured on the authors' data. "
    f"Ours: {MARK}, so the two columns show an order, not a difference. All values are percent. "
    "In brackets: the interval of the bootstrap over patients (95 % unless another level was "
    "asked for); after ±: the standard deviation over runs."
)


@dataclass(frozen=True)
class Cell:
    """What our runs give for one metric of one row.

    Attributes:
        value: percent, the mean over runs; None without a run.
        low: lower end of the interval of a single run, percent.
        high: upper end.
        deviation: standard deviation over two or more runs, percent.
        runs: how many.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None
    runs: int = 0

    def text(self) -> str:
        """Format as `54.57`, `54.57 (50.1 – 58.9)`, `54.57 ± 1.20 (3 runs)` or an en dash."""
        if self.value is None:
            return "–"
        if self.deviation is not None:
            return f"{self.value:.2f} ± {self.deviation:.2f} ({self.runs} runs)"
        if self.low is not None and self.high is not None:
            return f"{self.value:.2f} ({self.low:.1f} – {self.high:.1f})"
        return f"{self.value:.2f}"


def cell(runs: Iterable[Run], key: MetricKey) -> Cell:
    """Return one metric of the runs of one row.

    Args:
        runs: runs of the row's config: one, or several seeds or folds.
        key: of the metric.
    """
    found = [value for run in runs if (value := run.evaluation.get(key)) is not None]
    found = [one for one in found if one.value is not None]
    values = [100 * one.value for one in found]
    if not values:
        return Cell()
    if len(values) > 1:
        return Cell(statistics.fmean(values), None, None, statistics.stdev(values), len(values))
    interval = found[0].interval
    ends = (None, None) if interval is None else (100 * interval.low, 100 * interval.high)
    return Cell(values[0], *ends, None, 1)


def fill(table: PaperTable, runs: list[Run]) -> dict[str, list[Cell]]:
    """Fill a table with our cells: row name -> cells in the order of `table.columns`."""
    return {
        row.name: [
            cell((r for r in runs if r.stem == row.stem and r.test_set == table.test_set), key)
            for key in table.columns
        ]
        for row in table.rows
    }


def unplaced(tables: Iterable[PaperTable], runs: list[Run]) -> list[Run]:
    """Find runs with a config that has no row."""
    stems = {row.stem for table in tables for row in table.rows}
    return [run for run in runs if run.stem not in stems]


def _printed(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _part_rows(
    table: PaperTable, part: Part, cells: dict[str, list[Cell]]
) -> Iterable[tuple[Row, list[tuple[str, str]]]]:
    """Return the rows that hold anything in this part, with (ours, paper) per column."""
    for row in table.rows:
        pairs = [
            (
                cells[row.name][table.columns.index(key)].text(),
                _printed(table.paper_value(row, key)),
            )
            for key in part.columns
        ]
        if row.stem is not None or any(paper != "–" for _, paper in pairs):
            yield row, pairs


def empty_cells(table: PaperTable, cells: dict[str, list[Cell]]) -> list[str]:
    """Say why cells of ours are empty, one sentence per reason."""
    filled = {name for name, row in cells.items() if any(c.value is not None for c in row)}
    untested = [row.name for row in table.rows if row.stem and row.name not in filled]
    foreign = [row.name for row in table.rows if row.stem is None]
    partly = [
        row.name
        for row in table.rows
        if row.name in filled and any(c.value is None for c in cells[row.name])
    ]
    reasons = (
        (untested, "No run of ours was given for"),
        (foreign, "The package has no model for"),
        (
            partly,
            "No masks predicted, or no volumes tested, for the empty cells of",
        ),
    )
    return [f"{reason} {', '.join(names)}." for names, reason in reasons if names]


def markdown(table: PaperTable, cells: dict[str, list[Cell]]) -> str:
    """Format one Markdown table per block of columns, and why cells are empty."""
    lines = [f"## {table.title}", ""]
    if table.note:
        lines += [table.note, ""]
    for part in table.parts:
        head = ["Method"]
        for name in part.names:
            head += [f"{name}, ours", f"{name}, paper"]
        lines += [f"**{part.heading}** (ours: {MARK})", "", "| " + " | ".join(head) + " |"]
        lines.append("|---" + "|---:" * (len(head) - 1) + "|")
        for row, pairs in _part_rows(table, part, cells):
            flat = [text for pair in pairs for text in pair]
            lines.append("| " + " | ".join([row.name, *flat]) + " |")
        lines.append("")
    if any(one.value is not None for row in cells.values() for one in row):
        lines += [*empty_cells(table, cells), ""]
    return "\n".join(lines)


def csv_text(table: PaperTable, cells: dict[str, list[Cell]]) -> str:
    """Format one line per row and metric, numbers in full precision, for further work."""
    header = ["table", "method", "config", "metric", "ours_percent", "ours_low", "ours_high"]
    header += ["ours_deviation", "ours_runs", "ours_note", "paper_percent"]
    rows = []
    for row in table.rows:
        for key, ours in zip(table.columns, cells[row.name], strict=True):
            numbers = (ours.value, ours.low, ours.high, ours.deviation)
            rows.append(
                [table.label, row.name, row.stem or "", key.name]
                + ["" if n is None else repr(round(n, 10)) for n in numbers]
                + [ours.runs, MARK if ours.runs else ""]
                + ["" if table.paper_value(row, key) is None else table.paper_value(row, key)]
            )
    return atomic_files.csv_text(header, rows)


def _tex(text: str) -> str:
    replaced = {
        "λ": r"$\lambda$",
        "±": r"$\pm$",
        "–": "--",
        "%": r"\%",
        "_": r"\_",
        "&": r"\&",
    }
    return "".join(replaced.get(character, character) for character in text)


def latex(table: PaperTable, cells: dict[str, list[Cell]]) -> str:
    """Format one `table` environment per block of columns; needs the package `booktabs`."""
    blocks = []
    title = table.title.split(". ", 1)[-1]  # LaTeX numbers the tables itself
    for part in table.parts:
        caption = " ".join(filter(None, [f"{title}. {part.heading}. Ours: {MARK}.", table.note]))
        columns = "l" + "rr" * len(part.columns)
        heads = "".join(rf" & \multicolumn{{2}}{{c}}{{{_tex(name)}}}" for name in part.names)
        lines = [
            r"\begin{table}",
            rf"\caption{{{_tex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            f"Method{heads} \\\\",
            "".join(" & ours & paper" for _ in part.columns) + r" \\",
            r"\midrule",
        ]
        for row, pairs in _part_rows(table, part, cells):
            flat = [_tex(text) for pair in pairs for text in pair]
            lines.append(" & ".join([_tex(row.name), *flat]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


def provenance(runs: list[Run]) -> str:
    """Format a Markdown list of what each run was tested on."""
    lines = ["## Runs", "", "| Config | Images | Patients | Lesions | Epochs | Loss weights |"]
    lines.append("|---|---:|---:|---:|---:|---|")
    for run in runs:
        size = run.evaluation.size
        counts = [size.n_images, size.n_patients, size.n_lesions]
        epochs = (run.config.get("train_cfg") or {}).get("max_epochs", "–")
        cells = [markdown_text(run.stem), *map(str, counts), markdown_text(epochs)]
        cells.append(markdown_text(_weights_text(run.loss_weights)))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _weights_text(weights: Mapping[str, float]) -> str:
    """Say with which loss weights a run was trained."""
    if not weights:
        return "the config's"
    short = {
        name.removeprefix("model.").removesuffix(".loss_weight"): value
        for name, value in weights.items()
    }
    other = ", ".join(f"{name} {value:g}" for name, value in short.items() if value != 1)
    return f"best of a sweep: {other + ', the others 1' if other else 'all 1'}"
