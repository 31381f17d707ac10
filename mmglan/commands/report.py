"""Write one self-contained HTML report of a run: metrics, FROC, size strata, learned σ, slices.

    mmglan report work_dirs/my_run

The folder is one that mmglan test wrote to: results.metrics.json, results.bbox.json and, with
masks, results.segm.json. The test set is the one of the dumped config, or --gt and --images.
The page opens in any browser, without a network, and holds no identifier of a patient.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from data_prep.atomic_files import write_text
from data_prep.command_line import at_least, command_parser, reports_errors
from mmglan.commands.common.arguments import progress_bar
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import read_results
from mmglan.evaluation.detection_status import check_counts, same_detections, status_of_images
from mmglan.reporting.html_report import build_report
from mmglan.reporting.paper_tables import paper_metrics
from mmglan.reporting.provenance import read_run_info
from mmglan.reporting.run_files import config_test_set, read_run
from mmglan.reporting.scalars import find_logs, read_scalars

OTHER_MASKS = (
    "The mask results are not of the same detections as the box results: no masks are shown."
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("work_dir", type=Path, help="folder of the run")
    parser.add_argument("--gt", type=Path, help="COCO annotations (default: the config's)")
    parser.add_argument("--images", type=Path, help="folder of the slices (default: the config's)")
    parser.add_argument("--prefix", default="results", help="first part of the result files' names")
    parser.add_argument("--out", type=Path, help="HTML file (default: WORK_DIR/report.html)")
    parser.add_argument("--title", help="heading (default: the config's name)")
    parser.add_argument(
        "--max-slices", type=at_least(0), default=300, help="slices embedded at most"
    )
    parser.add_argument(
        "--max-side", type=at_least(1), default=640, help="pixels of an embedded slice"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(argv)


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    run = read_run(args.work_dir, metrics_name=f"{args.prefix}.metrics.json")
    annotations, image_root = config_test_set(run, args.gt, args.images)
    gt = read_ground_truth(annotations)
    files = [args.work_dir / f"{args.prefix}.{kind}.json" for kind in ("bbox", "segm")]
    boxes = read_results(files[0], gt)
    masks = read_results(files[1], gt, masks=True) if files[1].is_file() else None
    notes = []
    if masks is not None and not same_detections(boxes, masks):
        masks, notes = None, [OTHER_MASKS]
    status = status_of_images(
        gt, boxes, masks, run.evaluation.protocol, names=[path.name for path in files]
    )
    check_counts(run.evaluation, status)
    page = build_report(
        run.evaluation,
        status,
        image_root,
        title=args.title or run.stem,
        scalars=read_scalars(find_logs(args.work_dir)),
        paper=paper_metrics(run.stem),
        run_info=read_run_info(args.work_dir),
        notes=notes,
        max_slices=args.max_slices,
        max_side=args.max_side,
        progress=progress_bar("slices", args.quiet),
    )
    path = args.out or args.work_dir / "report.html"
    write_text(path, page)
    print(f"{path} ({len(page.encode()) / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
