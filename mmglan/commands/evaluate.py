"""Evaluate result files of any detector: AP, SEN, FROC, recall, with confidence intervals.

2D, from COCO results:
    mmglan evaluate --gt test.json --pred results.bbox.json results.segm.json

3D, from the same results stacked over slices, against 3D boxes (and voxel masks):
    mmglan evaluate --gt test_whole.json --pred results.bbox.json \\
        --volumes volumes_test.json [--gt-masks masks/]

3D, from label maps <volume_id>.nii.gz, one label per lesion, or from a JSON file of 3D boxes:
    mmglan evaluate --gt-masks masks/ --pred label_maps/ [--scores scores.csv]
    mmglan evaluate --volumes volumes_test.json --pred boxes3d.json

3D, from the folders of mmglan infer (FROC per volume):
    mmglan evaluate --volumes volumes_test.json --ids ids.csv \\
        --findings findings/ --findings-ids scans.csv
    mmglan evaluate --gt-masks masks/ --findings findings/ --findings-ids scans.csv

The table goes to standard output, the metrics in full precision to --out. Names and definitions:
docs/metrics.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data_prep.atomic_files import write_csv
from data_prep.command_line import at_least, command_parser, reports_errors
from mmglan.commands.common.arguments import add_evaluation_arguments, stacking_of
from mmglan.detections.volume_files import VolumeGroundTruth, read_boxes_3d
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.detection_sets.findings_results import boxes_of_findings, read_findings
from mmglan.evaluation.detection_sets.label_maps import read_ids
from mmglan.evaluation.detection_sets.load_results import (
    load_detection_sets,
    read_test_set,
)
from mmglan.evaluation.detection_sets.volume_sets import detection_set_of_volumes
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.evaluation_record import write_evaluation
from mmglan.evaluation.protocols import Protocol, get_protocol
from mmglan.evaluation.scan_counts import HEADER, scan_counts
from mmglan.evaluation.site_results import HEADER as SITE_HEADER
from mmglan.evaluation.site_results import site_results, sites_of
from mmglan.evaluation.text_table import format_evaluation
from mmglan.reporting.charts.matplotlib_plots import save
from mmglan.reporting.charts.site_chart import plot_sites


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    add_evaluation_arguments(parser)
    parser.add_argument(
        "--pred",
        type=Path,
        nargs="+",
        default=[],
        help="COCO results, JSON of 3D boxes, or a folder of label maps",
    )
    parser.add_argument("--findings", type=Path, help="folder of mmglan infer, instead of --pred")
    parser.add_argument(
        "--findings-ids",
        type=Path,
        help="table of infer's --ids, if volumes are not named by its pseudonyms",
    )
    parser.add_argument("--scores", type=Path, help="CSV volume_id,label,score of label maps")
    parser.add_argument(
        "--per-class", action="store_true", help="metrics of each class, too (boxes and masks)"
    )
    parser.add_argument(
        "--per-scan", type=Path, help="CSV for the lesions found and false positives of each scan"
    )
    parser.add_argument(
        "--per-site",
        type=Path,
        help="CSV for the sensitivities of each site (node type) of the annotations; their FROC "
        "curves are drawn beside it (.png)",
    )
    parser.add_argument(
        "--min-lesions",
        type=at_least(1),
        help="with --per-site: draw sites with so many lesions (default 5)",
    )
    parser.add_argument("--out", type=Path, help="JSON file for the metrics, e.g. my.metrics.json")
    args = parser.parse_args(argv)
    if not (args.gt or args.volumes or args.gt_masks):
        parser.error("expected --gt, --volumes or --gt-masks: there is nothing to compare with")
    if bool(args.pred) == bool(args.findings):
        parser.error("expected either --pred or --findings")
    if args.findings and not (args.volumes or args.gt_masks):
        parser.error("expected --volumes or --gt-masks with --findings: they are 3D")
    stack_options = ("stack_iou", "stack_gap", "stack_score")
    unused = ("gt", "scores", "binary_masks", *stack_options, "neighbour_reach", "per_class")
    for option in unused:
        if args.findings and getattr(args, option):
            name = option.replace("_", "-")
            parser.error(f"expected no --{name} with --findings, which have no use for it")
    if args.per_site and not (args.gt and args.pred):
        parser.error("expected --gt and --pred with --per-site: sites are those of its lesions")
    if args.per_site and args.per_site.suffix == ".png":
        parser.error("expected a CSV file for --per-site: the chart is written beside it")
    if args.min_lesions and not args.per_site:
        parser.error("expected --per-site with --min-lesions")
    if args.findings_ids and not args.findings:
        parser.error("expected --findings with --findings-ids")
    return args


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    protocol = get_protocol(args.protocol)
    test_set = read_test_set(
        args.gt,
        volumes=args.volumes,
        gt_masks=args.gt_masks,
        ids=None if args.findings else args.ids,
        nifti_form=args.nifti_form,
        jobs=args.jobs,
        quiet=args.quiet,
    )
    if args.findings:
        sets = [_findings_set(args, test_set.volumes, protocol)]
    else:
        sets = load_detection_sets(
            test_set,
            args.pred,
            protocol,
            scores=args.scores,
            binary_masks=args.binary_masks,
            stacking=stacking_of(args),
            neighbour_reach=args.neighbour_reach,
            per_class=args.per_class,
            jobs=args.jobs,
            quiet=args.quiet,
        )
    sites = sites_of(test_set.images) if args.per_site else []
    warn_of_unknown_patients(test_set)
    evaluation = evaluate_detections(
        sets,
        protocol,
        bootstrap=args.bootstrap,
        seed=args.seed,
        level=args.level,
        interval=args.interval,
    )
    print(format_evaluation(evaluation))
    if args.out:
        write_evaluation(evaluation, args.out)
    if args.per_scan:
        images, volumes = test_set.images, test_set.volumes
        names = {2: [one["id"] for one in images.images] if images else []}
        names[3] = volumes.ids if volumes else []
        write_csv(args.per_scan, HEADER, scan_counts(sets, protocol, names))
    if args.per_site:
        write_sites(args, [one for one in sets if one.dims == 2], sites, protocol)
    return 0


def write_sites(
    args: argparse.Namespace, sets: list[DetectionSet], sites: list[str], protocol: Protocol
) -> None:
    """Write the table of sites and the chart beside it.

    Raises:
        ValueError: No boxes or masks on images.
    """
    if not sets:
        raise ValueError("Expected COCO results with --per-site but got none; leave it out")
    options = dict(n=args.bootstrap, seed=args.seed, level=args.level, method=args.interval)
    results = list(site_results(sets, sites, protocol, **options))
    write_csv(args.per_site, SITE_HEADER, (one.row() for one in results))
    save(plot_sites(results, args.min_lesions or 5), args.per_site.with_suffix(".png"))


def _findings_set(
    args: argparse.Namespace, gt: VolumeGroundTruth, protocol: Protocol
) -> DetectionSet:
    rows = boxes_of_findings(
        read_findings(args.findings),
        gt,
        scans=None if args.findings_ids is None else read_ids(args.findings_ids),
        ids=None if args.ids is None else read_ids(args.ids),
        name=args.findings.name,
    )
    return detection_set_of_volumes(gt, read_boxes_3d(rows, gt, args.findings.name), protocol)


def warn_of_unknown_patients(test_set) -> None:
    """Print a note where images name no patient: then the intervals are too narrow."""
    images = test_set.images
    if images is not None and not images.has_patients:
        print(
            f"note: {images.name}: images without patient_id: each counts as a patient of its own",
            file=sys.stderr,
        )


if __name__ == "__main__":
    raise SystemExit(main())
