"""Compare two detectors on the same test set: difference, interval and p-value of every metric.

    mmglan compare --gt test.json --pred-a ours.bbox.json --pred-b peer.bbox.json

The interval is a paired bootstrap over patients; the p-value is that of a permutation test that
exchanges the two detectors' results patient by patient (docs/metrics.md). All kinds of result
files of mmglan evaluate work, one or several for each side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from data_prep.atomic_files import write_json
from data_prep.command_line import at_least, command_parser, reports_errors
from mmglan.commands.common.arguments import add_evaluation_arguments, stacking_of
from mmglan.commands.evaluate import warn_of_unknown_patients
from mmglan.evaluation.detection_sets.load_results import load_detection_sets, read_test_set
from mmglan.evaluation.protocols import get_protocol
from mmglan.evaluation.resampling.comparison import compare_kinds
from mmglan.evaluation.text_table import format_comparison


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    add_evaluation_arguments(parser)
    for side in "ab":
        parser.add_argument(f"--pred-{side}", type=Path, nargs="+", required=True)
        parser.add_argument(f"--scores-{side}", type=Path, help="CSV of label maps' scores")
    parser.add_argument(
        "--permutations",
        type=at_least(0),
        default=1000,
        metavar="N",
        help="for the p-values, 0 for none (default 1000)",
    )
    parser.add_argument("--out", type=Path, help="JSON file for the comparison")
    args = parser.parse_args(argv)
    if not (args.gt or args.volumes or args.gt_masks):
        parser.error("expected --gt, --volumes or --gt-masks: there is nothing to compare with")
    return args


def _side(args, side, test_set, protocol):
    """Load the predictions of one detector; both detectors' files often have the same name."""
    try:
        return load_detection_sets(
            test_set,
            getattr(args, f"pred_{side}"),
            protocol,
            scores=getattr(args, f"scores_{side}"),
            binary_masks=args.binary_masks,
            stacking=stacking_of(args),
            neighbour_reach=args.neighbour_reach,
            jobs=args.jobs,
            quiet=args.quiet,
        )
    except (ValueError, OSError) as error:
        raise ValueError(f"--pred-{side}: {error}") from error


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    protocol = get_protocol(args.protocol)
    test_set = read_test_set(
        args.gt,
        volumes=args.volumes,
        gt_masks=args.gt_masks,
        ids=args.ids,
        nifti_form=args.nifti_form,
        jobs=args.jobs,
        quiet=args.quiet,
    )
    sides = [_side(args, side, test_set, protocol) for side in "ab"]
    warn_of_unknown_patients(test_set)
    comparison = compare_kinds(
        *sides,
        protocol,
        bootstrap=args.bootstrap,
        permutations=args.permutations,
        seed=args.seed,
        level=args.level,
        interval=args.interval,
    )
    print(format_comparison(comparison))
    if args.out:
        write_json(args.out, comparison.to_json(), indent=1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
