"""Evaluate result files of any detector: AP, SEN, FROC, recall, with confidence intervals.

2D, from COCO results:
    mmglan evaluate --gt test.json --pred results.bbox.json results.segm.json

3D, from the same results stacked over slices, against 3D boxes (and voxel masks):
    mmglan evaluate --gt test_whole.json --pred results.bbox.json \\
        --volumes volumes_test.json [--gt-masks masks/]

3D, from label maps <volume_id>.nii.gz, one label per lesion, or from a JSON file of 3D boxes:
    mmglan evaluate --gt-masks masks/ --pred label_maps/ [--scores scores.csv]
    mmglan evaluate --volumes volumes_test.json --pred boxes3d.json

The table goes to standard output, the figures in full precision to --out. Names and definitions:
docs/metrics.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data_prep.command_line import reports_errors
from mmglan.evaluation.evaluate import evaluate_detections, write_json
from mmglan.evaluation.load_results import GroundTruthFiles, load_detection_sets
from mmglan.evaluation.protocols import PROTOCOLS, get_protocol
from mmglan.evaluation.text_table import format_summary


def resamples(text: str) -> int:
    """Argument of how many resamples or permutations."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 for none, but got {text}")
    return int(text)


def _level(text: str) -> float:
    try:
        level = float(text)
    except ValueError:
        level = 0.0
    if not 0 < level < 1:
        raise argparse.ArgumentTypeError(f"expected a fraction, 0.95 for 95 %, but got {text}")
    return level


def _iou(text: str) -> float:
    try:
        iou = float(text)
    except ValueError:
        iou = -1.0
    if not 0 <= iou < 1:
        raise argparse.ArgumentTypeError(f"expected an IoU from 0 to below 1 but got {text}")
    return iou


def add_gt_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that name the truth and the protocol; compare.py has the same."""
    parser.add_argument("--gt", type=Path, help="COCO annotation file of the test set")
    parser.add_argument("--volumes", type=Path, help="3D truth, volumes_<split>.json")
    parser.add_argument(
        "--gt-masks", type=Path, help="folder of true label maps, <volume_id>.nii.gz"
    )
    parser.add_argument(
        "--ids",
        type=Path,
        help="table of prepare's --ids, if label maps are named as the source volumes",
    )
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="deeplesion")
    parser.add_argument(
        "--bootstrap",
        type=resamples,
        default=1000,
        metavar="N",
        help="resamples of patients for the intervals, 0 for none (default 1000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resampling (default 0)")
    parser.add_argument("--level", type=_level, default=0.95, help="of the intervals (0.95)")
    parser.add_argument("--interval", choices=["bca", "percentile"], default="bca")
    parser.add_argument(
        "--components",
        action="store_true",
        help=("predicted label maps are masks, not instances: take their connected components"),
    )
    parser.add_argument(
        "--stack-iou",
        type=_iou,
        default=0.1,
        help="2D boxes on neighbouring slices are one lesion above this IoU (0.1)",
    )


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_gt_arguments(parser)
    parser.add_argument(
        "--pred",
        type=Path,
        nargs="+",
        required=True,
        help="COCO results, JSON of 3D boxes, or a folder of label maps",
    )
    parser.add_argument("--scores", type=Path, help="CSV volume_id,label,score of label maps")
    parser.add_argument("--out", type=Path, help="JSON file for the figures, e.g. my.metrics.json")
    args = parser.parse_args(argv)
    if not (args.gt or args.volumes or args.gt_masks):
        parser.error("expected --gt, --volumes or --gt-masks: there is nothing to compare with")
    protocol = get_protocol(args.protocol)
    files = GroundTruthFiles(args.gt, args.volumes, args.gt_masks, args.ids)
    truth = files.read()
    cases = load_detection_sets(
        files,
        truth,
        args.pred,
        protocol,
        scores=args.scores,
        components=args.components,
        stack_iou=args.stack_iou,
    )
    if truth[0] is not None and not truth[0].has_patients:
        print(
            f"{truth[0].name}: images without patient_id: each counts as a patient of its own",
            file=sys.stderr,
        )
    record = evaluate_detections(
        cases,
        protocol,
        bootstrap=args.bootstrap,
        seed=args.seed,
        level=args.level,
        method=args.interval,
    )
    print(format_summary(record))
    if args.out:
        write_json(record, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
