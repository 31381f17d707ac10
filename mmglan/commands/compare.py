"""Compare two detectors on the same test set: difference, interval and p-value of every figure.

    mmglan compare --gt test.json --pred-a ours.bbox.json --pred-b peer.bbox.json

The interval is a paired bootstrap over patients; the p-value is that of a permutation test that
exchanges the two detectors' results patient by patient (docs/metrics.md). All kinds of result
files of mmglan evaluate work, one or several for each side.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from data_prep.command_line import reports_errors
from mmglan.commands.evaluate import add_gt_arguments, resamples
from mmglan.evaluation.comparison import compare
from mmglan.evaluation.evaluate import write_json
from mmglan.evaluation.load_results import GroundTruthFiles, load_detection_sets
from mmglan.evaluation.protocols import get_protocol
from mmglan.evaluation.text_table import columns, percent


def format_comparison(results: dict[str, dict]) -> str:
    """Table of a comparison; differences and intervals in percentage points."""
    rows = []
    for name, found in results.items():
        p_value = found["p_value"]
        rows.append(
            (
                name,
                percent(found["first"]),
                percent(found["second"]),
                percent(found["difference"]),
                f"{percent(found['low'])} to {percent(found['high'])}",
                f"{p_value:.4f}" if math.isfinite(p_value) else "-",
            )
        )
    return "\n".join(columns(("figure", "A", "B", "A - B", "interval", "p"), rows))


def _side(args, side, files, truth, protocol):
    """DetectionSet of one detector; both detectors' files often have the same name."""
    try:
        return load_detection_sets(
            files,
            truth,
            getattr(args, f"pred_{side}"),
            protocol,
            scores=getattr(args, f"scores_{side}"),
            components=args.components,
            stack_iou=args.stack_iou,
        )
    except (ValueError, OSError) as error:
        raise ValueError(f"--pred-{side}: {error}") from error


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_gt_arguments(parser)
    for side in "ab":
        parser.add_argument(f"--pred-{side}", type=Path, nargs="+", required=True)
        parser.add_argument(f"--scores-{side}", type=Path, help="CSV of label maps' scores")
    parser.add_argument(
        "--permutations",
        type=resamples,
        default=1000,
        metavar="N",
        help="for the p-values, 0 for none (default 1000)",
    )
    parser.add_argument("--out", type=Path, help="JSON file for the comparison")
    args = parser.parse_args(argv)
    if not (args.gt or args.volumes or args.gt_masks):
        parser.error("expected --gt, --volumes or --gt-masks: there is nothing to compare with")
    protocol = get_protocol(args.protocol)
    files = GroundTruthFiles(args.gt, args.volumes, args.gt_masks, args.ids)
    results: dict[str, dict] = {}
    truth = files.read()
    kinds = [
        {cases.kind: cases for cases in _side(args, side, files, truth, protocol)} for side in "ab"
    ]
    if set(kinds[0]) != set(kinds[1]):
        raise ValueError(
            f"Expected the same kinds of results on both sides but got {sorted(kinds[0])} "
            f"and {sorted(kinds[1])}"
        )
    for kind in kinds[0]:
        results |= compare(
            kinds[0][kind],
            kinds[1][kind],
            protocol,
            bootstrap=args.bootstrap,
            permutations=args.permutations,
            seed=args.seed,
            level=args.level,
            method=args.interval,
        )
    print(format_comparison(results))
    if args.out:
        write_json({"schema": 1, "protocol": protocol.name, "figures": results}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
