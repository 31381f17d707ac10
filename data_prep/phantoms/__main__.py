"""Draw synthetic volumes with known lesions: `mmglan phantom KIND`.

`abdomen` writes T2-like volumes with lymph nodes, their masks and bookmarks, as `mmglan prepare`
reads them. `irregular-lesions` writes one volume of lobed lesions in clutter with its mask, for
`mmglan score-masks`. `context` writes studies in which a tumour makes the nodes on its side
abnormal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import at_least, command_parser, reports_errors


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__, "mmglan phantom")
    kinds = parser.add_subparsers(
        dest="kind", required=True, metavar="abdomen | context | irregular-lesions"
    )
    abdomen = kinds.add_parser("abdomen", help="volumes with lymph nodes, masks and bookmarks")
    add = abdomen.add_argument
    add("--volumes", type=at_least(0), default=12, help="volumes with nodes (12)")
    add("--empty", type=at_least(0), default=0, help="lesion-free volumes added (0)")
    add("--nodes", type=at_least(1), default=4, help="nodes per volume (4)")
    add(
        "--three-classes",
        action="store_true",
        help="bookmark cysts and vessels across as well; `structure` names the class",
    )
    context = kinds.add_parser("context", help="nodes that only their context makes abnormal")
    context.add_argument(
        "--size",
        choices=("tiny", "demo", "paper"),
        default="demo",
        help="9 patients with 12 lesions, 60 with 84 (default), or 584 with 821 as in the paper",
    )
    irregular = kinds.add_parser("irregular-lesions", help="one volume of lobed lesions in clutter")
    add = irregular.add_argument
    add("--slices", type=at_least(1), default=100, help="slices, each with a lesion (100)")
    add(
        "--contrast",
        type=at_least(0, float),
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=(60.0, 250.0),
        help="range of the lesions' difference from what lies behind them (60 250)",
    )
    for kind in (abdomen, context, irregular):
        kind.add_argument("--out-dir", type=Path, required=True, help="receives images/ and masks/")
        kind.add_argument("--seed", type=at_least(0), default=0, help="same seed, same bytes (0)")
    args = parser.parse_args(argv)
    if args.kind == "irregular-lesions" and args.contrast[0] > args.contrast[1]:
        irregular.error(f"expected --contrast LOW HIGH with LOW <= HIGH but got {args.contrast}")
    return args


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    from data_prep.phantoms import abdomen, context, irregular_lesions  # keeps --help quick

    if args.kind == "abdomen":
        abdomen.write_dataset(
            args.out_dir,
            args.volumes,
            args.seed,
            n_nodes=args.nodes,
            n_empty=args.empty,
            three_classes=args.three_classes,
        )
    elif args.kind == "context":
        context.write_dataset(args.out_dir, context.SIZES[args.size], args.seed)
    else:
        irregular_lesions.write(args.out_dir, args.slices, args.seed, tuple(args.contrast))
    print(f"Written to {args.out_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
