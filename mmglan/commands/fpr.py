"""3D false-positive reduction: a small network looks at stacked detections again.

Train on a detector's results on whole training volumes, then apply to any results:
    mmglan fpr train --gt train_whole.json --marks train.json --pred train.bbox.json \\
        --images DATA/images --stack-iou 0.5 --stack-score top5 --out fpr.pth
    mmglan fpr apply fpr.pth --gt test_whole.json --pred results.bbox.json \\
        --images DATA/images --out reduced.bbox.json

Boxes are stacked as the options of `train` say (docs/metrics.md). The network sees the grey values
around each stack; `apply` multiplies the scores of its boxes (and masks) by the probability of a
lesion. MARKS are the lesions that are known, on one slice each or on all: a stack on a mark is a
lesion, one apart from all marks of its volume is none, all others are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from data_prep.command_line import at_least, command_parser, reports_errors
from data_prep.errors import DataError
from data_prep.paths import PathsBelow
from mmglan.commands.common.arguments import add_stack_arguments, progress_bar, stacking_of
from mmglan.detections.coco_files import GroundTruth, read_ground_truth
from mmglan.detections.coco_results import read_results, write_results
from mmglan.detections.slice_files import read_slices
from mmglan.detections.stacking import Stacking
from mmglan.detections.volume_files import slice_of


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__, "mmglan fpr")
    actions = parser.add_subparsers(dest="action", required=True, metavar="train | apply")
    train = actions.add_parser("train", help="train on candidates of training volumes")
    apply = actions.add_parser("apply", help="multiply scores by the probability of a lesion")
    train.add_argument("--marks", type=Path, required=True, help="COCO annotations of the lesions")
    train.add_argument("--epochs", type=at_least(1), default=30, help="passes over lesions (30)")
    train.add_argument("--seed", type=at_least(0), default=0, help="same seed, same weights (0)")
    add_stack_arguments(train)
    apply.add_argument("network", type=Path, metavar="FPR", help="file of mmglan fpr train")
    for one, what in ((train, "the network"), (apply, "the results with new scores")):
        add = one.add_argument
        add("--gt", type=Path, required=True, help="COCO annotations that list all slices")
        add("--pred", type=Path, required=True, help="COCO results of boxes or masks")
        add("--images", type=Path, required=True, help="folder of the slices")
        add("--out", type=Path, required=True, help=f"file for {what}")
        add("--quiet", action="store_true", help="no progress bars")
    return parser.parse_args(argv)


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(argv)
    return {"train": _train, "apply": _apply}[args.action](args)


def _train(args: argparse.Namespace) -> int:
    from mmglan.fpr import candidates as found
    from mmglan.fpr.network import Reduction
    from mmglan.fpr.training import train

    stacking = stacking_of(args) or Stacking()
    images, marks = read_ground_truth(args.gt), read_ground_truth(args.marks)
    results = read_results(args.pred, images)
    candidates = found.find_candidates(images, results, stacking)
    labels = found.known_labels(candidates, results, marks)
    counts = [int((labels == kind).sum()) for kind in (found.LESION, found.NO_LESION)]
    print(f"{len(candidates)} candidates: {counts[0]} lesions, {counts[1]} others.")
    network = train(
        candidates,
        labels,
        _volumes(images, args.images, args.quiet),
        epochs=args.epochs,
        seed=args.seed,
        progress=progress_bar("epochs", args.quiet),
    )
    Reduction(network, stacking).save(args.out)
    print(f"Written to {args.out}")
    return 0


def _apply(args: argparse.Namespace) -> int:
    from mmglan.fpr.candidates import find_candidates, rescored
    from mmglan.fpr.network import Reduction
    from mmglan.fpr.training import predict

    reduction = Reduction.load(args.network)
    images = read_ground_truth(args.gt)
    results = read_results(args.pred, images)
    candidates = find_candidates(images, results, reduction.stacking)
    volumes = _volumes(images, args.images, args.quiet)
    probabilities = predict(reduction.network, candidates, volumes)
    write_results(args.out, rescored(results, candidates, probabilities), images)
    how = ", ".join(f"{name} {value}" for name, value in asdict(reduction.stacking).items())
    print(f"Written to {args.out}: {len(candidates)} candidates, stacked with {how}.")
    return 0


def _volumes(images: GroundTruth, folder: Path, quiet: bool) -> dict[str, np.ndarray]:
    """Read the volumes of an annotation file, normalised; every slice must be there."""
    from mmglan.fpr.crops import normalised

    below = PathsBelow(folder)
    paths: dict[str, dict[int, Path]] = {}
    for image in images.images:
        volume, index = slice_of(image, f"{images.name}: image {image['id']}")
        paths.setdefault(volume, {})[index] = below(image["file_name"])
    for name, slices in paths.items():
        if sorted(slices) != list(range(len(slices))):
            raise DataError(
                f"Expected all slices of volume {name} from 0 on but got {len(slices)} with gaps. "
                "Give the <split>_whole.json of mmglan prepare --whole-volumes.",
                path=images.name,
            )
    names: Iterable[str] = progress_bar("volumes", quiet)(sorted(paths))
    return {
        name: normalised(read_slices([paths[name][z] for z in sorted(paths[name])]))
        for name in names
    }


if __name__ == "__main__":
    raise SystemExit(main())
