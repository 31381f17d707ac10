"""Write the paper's Tables 1 to 6 and Fig. 6 with the metrics of your runs beside the printed ones.

    mmglan tables work_dirs --out-dir work_dirs/tables

Every folder below the given ones that holds results.metrics.json is a run; the name of the config
that was dumped there decides its row. Several runs of one config (seeds, folds) are averaged.
--as CONFIG=DIR puts the run of a folder into the row of another config.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from data_prep.atomic_files import write_text
from data_prep.command_line import command_parser, reports_errors
from mmglan.reporting.charts.matplotlib_plots import save
from mmglan.reporting.charts.sensitivity_chart import plot_table
from mmglan.reporting.paper_tables import TABLES
from mmglan.reporting.run_files import METRICS_NAME, Run, find_runs
from mmglan.reporting.tables import NOTE, csv_text, fill, latex, markdown, provenance, unplaced


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("work_dirs", type=Path, nargs="+", help="runs, or folders that hold runs")
    parser.add_argument("--out-dir", type=Path, default=Path("work_dirs/tables"))
    parser.add_argument(
        "--as",
        dest="renamed",
        action="append",
        default=[],
        metavar="CONFIG=DIR",
        help="treat the run in DIR as one of CONFIG (file name without .py)",
    )
    parser.add_argument("--metrics", default=METRICS_NAME, help="name of the metrics files")
    return parser.parse_args(argv)


def _rename(runs: list[Run], renamed: list[str]) -> list[Run]:
    stems = {row.stem for table in TABLES for row in table.rows if row.stem}
    for item in renamed:
        stem, _, folder = item.partition("=")
        if stem not in stems or not folder:
            raise ValueError(
                f"--as {item}: Expected CONFIG=DIR with a config of a table but got {stem!r}. "
                f"Configs: {', '.join(sorted(stems))}."
            )
        target = Path(folder).resolve()
        if target not in {run.folder.resolve() for run in runs}:
            raise ValueError(f"--as {item}: Expected a run in {folder} but found none there.")
        runs = [replace(r, stem=stem) if r.folder.resolve() == target else r for r in runs]
    return runs


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    runs = _rename(find_runs(args.work_dirs, metrics_name=args.metrics), args.renamed)
    if not runs:
        raise ValueError(
            f"Expected runs with {args.metrics} but found none in "
            f"{', '.join(map(str, args.work_dirs))}. Run mmglan test first."
        )
    pages = ["# Our runs beside the paper's tables", "", NOTE, ""]
    files, figures = {}, {}
    for table in TABLES:
        cells = fill(table, runs)
        pages.append(markdown(table, cells))
        files[f"{table.label}.csv"] = csv_text(table, cells)
        files[f"{table.label}.tex"] = latex(table, cells)
        if table.test_set and (figure := plot_table(table, cells)) is not None:
            figures[f"{table.label}.png"] = figure
    files["tables.md"] = "\n".join([*pages, provenance(runs)])
    for name, text in files.items():
        write_text(args.out_dir / name, text)
    for name, figure in figures.items():
        save(figure, args.out_dir / name)
    for run in unplaced(TABLES, runs):
        print(f"note: {run.stem} stands in no table of the paper; see --as.", file=sys.stderr)
    for name in [*files, *figures]:
        print(args.out_dir / name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
