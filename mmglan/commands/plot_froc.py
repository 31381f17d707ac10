"""Plot the FROC curves of one or more runs with their confidence bands.

mmglan plot-froc work_dirs/ours work_dirs/mask_rcnn --threshold 0.25
"""

from __future__ import annotations

import argparse
from pathlib import Path

from data_prep.command_line import command_parser, reports_errors
from mmglan.evaluation.evaluation_record import Evaluation, read_evaluation
from mmglan.evaluation.metric_values import KIND_WORDS
from mmglan.reporting.charts.matplotlib_plots import plot_froc, save
from mmglan.reporting.run_files import METRICS_NAME, read_run


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="work directories or metrics files")
    parser.add_argument("--labels", nargs="+", help="one name per run (default: its config's)")
    parser.add_argument("--kind", default="bbox", choices=list(KIND_WORDS))
    parser.add_argument(
        "--overlap",
        choices=["iou", "iobb", "iogt", "radius", "centre"],
        help="curves of this overlap only (default: all)",
    )
    parser.add_argument(
        "--threshold", type=float, help="one threshold only, e.g. 0.25 (default: all)"
    )
    parser.add_argument(
        "--max-fp", type=float, default=8.0, help="right end of the axis, 16 at most"
    )
    parser.add_argument("--out", type=Path, default=Path("froc.png"), help=".png, .pdf or .svg")
    return parser.parse_args(argv)


def _read(path: Path) -> tuple[str, Evaluation]:
    if path.is_dir():
        run = read_run(path, metrics_name=METRICS_NAME)
        return run.stem, run.evaluation
    return path.name.removesuffix(".metrics.json"), read_evaluation(path)


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    if args.labels and len(args.labels) != len(args.runs):
        raise ValueError(
            f"Expected {len(args.runs)} labels, one per run, but got {len(args.labels)}."
        )
    evaluations = {}
    for index, path in enumerate(args.runs):
        name, evaluation = _read(path)
        name = args.labels[index] if args.labels else name
        # Two runs of one config stay apart.
        evaluations[name if name not in evaluations else f"{name} ({index + 1})"] = evaluation
    figure = plot_froc(
        evaluations,
        kind=args.kind,
        overlap=args.overlap,
        threshold=args.threshold,
        max_fp=args.max_fp,
    )
    print(save(figure, args.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
