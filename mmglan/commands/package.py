"""Make a model file of a training run that can be handed over.

mmglan package work_dirs/glan_r50_fpn_160e_lesions --out model.zip

The detector is run on the validation set, from which operating points and calibration are taken.
The file holds weights, config, what input the model is for, and a page that says all this.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import at_least, between, command_parser, reports_errors
from data_prep.dataset.prepare_args import normalization
from data_prep.errors import DataError
from mmglan.commands.common.arguments import progress_bar
from mmglan.evaluation.protocols import PROTOCOLS


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__, "mmglan package")
    add = parser.add_argument
    add("run", type=Path, help="work directory of mmglan train")
    add("--out", type=Path, required=True, help="model file to write, .zip")
    add("--checkpoint", type=Path, help="weights (default: the latest checkpoint of the run)")
    add("--annotations", type=Path, help="folder of the annotation files (default: the run's)")
    add("--images", type=Path, help="folder of the slices (default: the run's)")
    add("--scans", type=Path, help="scans of the training set: intensities, modality, sequence")
    add("--normalize", type=normalization, help="of the slices (default: as report.json says)")
    add("--calibration", choices=["auto", "isotonic", "platt", "none"], default="auto")
    add(
        "--slice-floor",
        type=between(0, 1),
        default=0.05,
        help="detections on slices of a lower score are dropped before linking (default 0.05)",
    )
    add("--protocol", choices=sorted(PROTOCOLS), default="deeplesion")
    add("--tta", choices=["flip"], help="measure with mirrored slices too")
    add("--test", action="store_true", help="also state the reliability on the test set")
    add("--bootstrap", type=at_least(0), default=1000, metavar="N", help="resamples of patients")
    add("--seed", type=int, default=0, help="of resamples and folds")
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1")
    add("--batch-size", type=at_least(1), default=8, help="slices at once (default 8)")
    add("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)
    if args.out.suffix != ".zip":
        parser.error(f"expected --out FILE.zip but got {args.out.name}")
    return args


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = parse_args(argv)
    if not args.run.is_dir():
        raise DataError("Expected the work directory of a training.", path=args.run)
    from mmglan.packaging.package_run import PackageOptions, package_run  # imports PyTorch

    given = vars(args)
    chosen = {name: given[name] for name in PackageOptions.__dataclass_fields__}
    record = package_run(
        args.run,
        args.out,
        args.checkpoint,
        PackageOptions(**chosen),
        progress_bar("validation volumes", args.quiet),
    )
    print(f"{args.out}: {record.name}, threshold at 2 false positives per volume: ", end="")
    print(record.froc.threshold_at(2.0))
    for name, panel in record.reliability.items():
        ends = panel["interval"]
        text = f" [{ends['low']:.3f}, {ends['high']:.3f}]" if ends else ""
        print(f"expected calibration error, {name}: {panel['error']:.3f}{text}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
