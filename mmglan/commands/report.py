"""Write one self-contained HTML report of a run: figures, FROC, size strata, learned σ, cases.

    mmglan report work_dirs/my_run

The folder is one that mmglan test wrote to: results.metrics.json, results.bbox.json and, with
masks, results.segm.json. The test set is the one of the dumped config, or --gt and --images.
The page opens in any browser, without a network, and holds no identifier of a patient.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep.atomic_files import write_text
from data_prep.command_line import reports_errors
from mmglan.evaluation.protocols import get_protocol
from mmglan.reporting.arguments import at_least
from mmglan.reporting.findings import check_counts, load_results, load_truth, mark_findings
from mmglan.reporting.html_report import build_report
from mmglan.reporting.page_tables import box_thresholds
from mmglan.reporting.paper_tables import paper_metrics
from mmglan.reporting.provenance import read_run_info
from mmglan.reporting.run_files import config_test_set, read_run
from mmglan.reporting.scalars import find_logs, read_scalars


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work_dir", type=Path, help="folder of the run")
    parser.add_argument("--gt", type=Path, help="COCO annotations (default: the config's)")
    parser.add_argument("--images", type=Path, help="folder of the slices (default: the config's)")
    parser.add_argument("--prefix", default="results", help="first part of the result files' names")
    parser.add_argument("--out", type=Path, help="HTML file (default: WORK_DIR/report.html)")
    parser.add_argument("--title", help="heading (default: the config's name)")
    parser.add_argument(
        "--max-cases", type=at_least(0), default=300, help="slices embedded at most"
    )
    parser.add_argument(
        "--max-side", type=at_least(1), default=640, help="pixels of an embedded slice"
    )
    return parser.parse_args(argv)


def _optional(path: Path, truth: dict[str, Any]) -> list[dict[str, Any]] | None:
    return load_results(path, truth, masks=True) if path.is_file() else None


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    run = read_run(args.work_dir, metrics_name=f"{args.prefix}.metrics.json")
    annotations, images = config_test_set(run, args.gt, args.images)
    truth = load_truth(annotations)
    protocol = get_protocol(run.metrics.get("protocol", "deeplesion"))
    thresholds = box_thresholds(run.metrics)
    findings = mark_findings(
        truth,
        load_results(args.work_dir / f"{args.prefix}.bbox.json", truth),
        thresholds=thresholds,
        segmentations=_optional(args.work_dir / f"{args.prefix}.segm.json", truth),
        assignment=protocol.assignment,
        duplicates=protocol.duplicates,
    )
    check_counts(run.metrics, findings)
    page = build_report(
        run.metrics,
        findings,
        images,
        title=args.title or run.stem,
        scalars=read_scalars(find_logs(args.work_dir)),
        paper=paper_metrics(run.stem),
        run_info=read_run_info(args.work_dir),
        thresholds=thresholds,
        max_cases=args.max_cases,
        max_side=args.max_side,
        progress=lambda items: tqdm(items, desc="slices", file=sys.stderr),
    )
    path = write_text(args.out or args.work_dir / "report.html", page)
    print(f"{path} ({len(page.encode()) / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
