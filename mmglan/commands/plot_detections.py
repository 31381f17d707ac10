"""Draw a figure of detections: ground truth yellow, predictions green, scores red.

    mmglan plot-detections --gt data/lesions/annotations/test.json \\
        --pred work_dirs/ours/results.bbox.json --segm work_dirs/ours/results.segm.json \\
        --images data/lesions/images --out work_dirs/ours/detections.png

Any detector's COCO results will do.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
from tqdm import tqdm

from data_prep.atomic_files import write_bytes
from data_prep.command_line import reports_errors
from mmglan.reporting.arguments import at_least
from mmglan.reporting.detection_sheet import choose_slices, detection_figure
from mmglan.reporting.findings import load_results, load_truth, mark_findings
from mmglan.reporting.run_files import check_metrics, read_json, score_at


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gt", type=Path, required=True, help="COCO annotations")
    parser.add_argument("--pred", type=Path, required=True, help="COCO box results")
    parser.add_argument("--segm", type=Path, help="COCO mask results of the same predictions")
    parser.add_argument("--images", type=Path, required=True, help="folder of the slices")
    parser.add_argument("--out", type=Path, default=Path("detections.png"), help="PNG file")
    parser.add_argument("--score", type=float, default=0.5, help="draw predictions from this score")
    parser.add_argument(
        "--fp",
        type=float,
        help="from the score with so many false positives per image instead (box IoU 0.25)",
    )
    parser.add_argument("--metrics", type=Path, help="metrics file of the run, for --fp")
    parser.add_argument("--count", type=at_least(1), default=9, help="slices on the sheet")
    parser.add_argument(
        "--columns", type=at_least(1), help="slices in a row (default: near a square)"
    )
    parser.add_argument("--side", type=at_least(1), default=384, help="pixels of a slice, about")
    parser.add_argument(
        "--seed", type=at_least(0), help="draw slices at random (default: evenly spread)"
    )
    parser.add_argument("--boxes-only", action="store_true", help="leave mask outlines out")
    args = parser.parse_args(argv)
    if (args.fp is None) != (args.metrics is None):
        parser.error("expected both --fp and --metrics, or neither")
    return args


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    truth = load_truth(args.gt)
    if args.fp is not None:
        metrics = check_metrics(read_json(args.metrics), args.metrics)
        args.score = score_at(metrics, args.fp)
    findings = mark_findings(
        truth,
        load_results(args.pred, truth),
        segmentations=load_results(args.segm, truth, masks=True) if args.segm else None,
    )
    chosen = choose_slices(findings, args.count, score=args.score, seed=args.seed)
    picture = detection_figure(
        chosen,
        args.images,
        score=args.score,
        masks=not args.boxes_only,
        side=args.side,
        columns=args.columns,
        progress=lambda items: tqdm(items, desc="slices", file=sys.stderr),
    )
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print(write_bytes(args.out, data.tobytes()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
