"""Draw detections on a sheet of slices: ground truth yellow, detections green, scores red.

    mmglan plot-detections --gt data/lesions/annotations/test.json \\
        --pred work_dirs/ours/results.bbox.json --segm work_dirs/ours/results.segm.json \\
        --images data/lesions/images --out work_dirs/ours/detections.png

Any detector's COCO results will do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from data_prep.atomic_files import write_bytes
from data_prep.command_line import at_least, command_parser, reports_errors
from mmglan.commands.common.arguments import progress_bar
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import read_results
from mmglan.evaluation.detection_status import status_of_images
from mmglan.evaluation.evaluation_record import read_evaluation
from mmglan.reporting.detection_sheet import choose_slices, detection_sheet
from mmglan.reporting.run_files import score_at


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("--gt", type=Path, required=True, help="COCO annotations")
    parser.add_argument("--pred", type=Path, required=True, help="COCO box results")
    parser.add_argument("--segm", type=Path, help="COCO mask results of the same detections")
    parser.add_argument("--images", type=Path, required=True, help="folder of the slices")
    parser.add_argument("--out", type=Path, default=Path("detections.png"), help="PNG file")
    parser.add_argument("--score", type=float, help="draw detections from this score (0.5)")
    parser.add_argument(
        "--fp",
        type=float,
        help="from the score with so many false positives per image instead (first box criterion)",
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
    parser.add_argument(
        "--insets", action="store_true", help="largest lesion of each slice enlarged in a corner"
    )
    parser.add_argument("--boxes-only", action="store_true", help="leave mask outlines out")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)
    if (args.fp is None) != (args.metrics is None):
        parser.error("expected both --fp and --metrics, or neither")
    if args.fp is not None and args.score is not None:
        parser.error("expected --score or --fp, not both")
    return args


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    gt = read_ground_truth(args.gt)
    score = 0.5 if args.score is None else args.score
    if args.fp is not None:
        score = score_at(read_evaluation(args.metrics), args.fp)
    names = [args.pred.name, args.segm.name if args.segm else ""]
    boxes = read_results(args.pred, gt)
    chosen = choose_slices(gt, boxes, args.count, score=score, seed=args.seed)
    masks = read_results(args.segm, gt, masks=True, images=chosen) if args.segm else None
    status = status_of_images(
        gt.of_images(chosen),
        boxes.of_images(chosen),
        masks and masks.of_images(chosen),
        names=names,
    )
    sheet = detection_sheet(
        status.images,
        args.images,
        score=score,
        masks=not args.boxes_only,
        side=args.side,
        columns=args.columns,
        inset=args.insets,
        progress=progress_bar("slices", args.quiet),
    )
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_bytes(args.out, data.tobytes())
    print(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
