"""From the download of a public data set to a prepared one, with one command.

    mmglan public-set lgg kaggle_3m --out-dir data/lgg --folds 5
    mmglan public-set picai PICAI --out-dir data/picai
    mmglan public-set luna16 LUNA16 --out-dir data/luna16

SOURCE is the folder that the download was unpacked to (docs/public_data.md). Bookmarks and masks go
to OUT_DIR/source, the set to OUT_DIR/data. Test volumes are written whole. Options of `mmglan
prepare` may follow; they come after those of the set, which are printed.
DeepLesion and TCIA CT Lymph Nodes need no such step: `mmglan prepare` reads them as they are.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from data_prep import prepare
from data_prep.command_line import command_parser, reports_errors
from data_prep.public_sets import lgg, luna16, picai
from data_prep.public_sets.converted import Converted

LESION_FREE = ("--keep-empty", "slices", "--max-empty", "3")
PREPARE_OPTIONS = {
    "lgg": (),
    "luna16": ("--patient-pattern", r"([0-9.]+)\.mhd$", "--one-axis", "circle")
    + ("--normalize", "window:-1000,400", *LESION_FREE),
    "picai": ("--patient-pattern", r"([0-9]+)_[0-9]+_t2w\.mha$", *LESION_FREE),
}
SPLIT_OPTIONS = ("--split", "--folds", "--split-file")
FURTHER = (
    "Options of mmglan prepare may follow, such as --folds, --split, --jobs, --normalize,"
    " --one-axis or --max-empty. With --folds or --split all volumes are written whole."
)
OURS = ("--images", "--bookmarks", "--masks")


def parse_args(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; returns ours, and what is for `prepare`."""
    parser = command_parser(__doc__, "mmglan public-set")
    sets = parser.add_subparsers(dest="name", required=True, metavar="lgg | luna16 | picai")
    for name, module in (("lgg", lgg), ("luna16", luna16), ("picai", picai)):
        one = sets.add_parser(name, help=module.__doc__.partition(":")[0], epilog=FURTHER)
        one.add_argument("source", type=Path, help="folder of the download")
        one.add_argument("--out-dir", type=Path, required=True, help="gets source/ and data/")
        if name == "luna16":
            one.add_argument(
                "--excluded",
                choices=luna16.EXCLUDED_RULES,
                default="key-slices",
                help="findings to ignore: on slices of bookmarks (default), or on all, which writes"
                " most slices of the set",
            )
    args, rest = parser.parse_known_args(arguments)
    if given := [word for word in rest if word.partition("=")[0] in OURS]:
        parser.error(f"expected no {given[0]}, which this command sets itself")
    return args, rest


def convert(args: argparse.Namespace, out: Path) -> Converted:
    """Convert a download."""
    if args.name == "luna16":
        return luna16.convert(args.source, out, args.excluded)
    return {"lgg": lgg, "picai": picai}[args.name].convert(args.source, out)


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Convert and prepare; the exit status is that of `prepare`."""
    args, rest = parse_args(arguments)
    out = args.out_dir / "source"
    converted = convert(args, out)
    converted.show(out)
    words = ["--images", str(converted.images), "--bookmarks", str(out / "bookmarks.csv")]
    words += ["--masks", str(converted.masks), "--out-dir", str(args.out_dir / "data")]
    words += [*PREPARE_OPTIONS[args.name], "--whole-volumes"]
    if converted.split is not None and not {w.partition("=")[0] for w in rest} & {*SPLIT_OPTIONS}:
        words += ["test", "--split-file", str(converted.split)]
    words += rest
    print(f"mmglan prepare {shlex.join(words)}")
    return prepare.main(words)
