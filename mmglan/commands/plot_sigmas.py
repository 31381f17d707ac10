"""Plot the learned σ and weight of each task over training, from MMEngine's logs.

mmglan plot-sigmas work_dirs/ours
"""

from __future__ import annotations

import argparse
from pathlib import Path

from data_prep.command_line import command_parser, reports_errors
from mmglan.reporting.charts.matplotlib_plots import plot_sigmas, save
from mmglan.reporting.scalars import find_logs, read_scalars


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument("work_dir", type=Path, help="a run's folder, or one scalars.json")
    parser.add_argument("--out", type=Path, help="default: WORK_DIR/sigmas.png")
    return parser.parse_args(argv)


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    single = args.work_dir.is_file()
    logs = [args.work_dir] if single else find_logs(args.work_dir)
    if not logs:
        raise FileNotFoundError(
            f"Expected */vis_data/scalars.json in {args.work_dir} but got none. "
            "Give the folder that training wrote to."
        )
    folder = args.work_dir.parent if single else args.work_dir
    print(save(plot_sigmas(read_scalars(logs)), args.out or folder / "sigmas.png"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
