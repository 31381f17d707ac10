"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tqdm import tqdm

from data_prep.command_line import at_least, between
from data_prep.volumes.itk.nifti_geometry import FORMS
from mmglan.detections.stacking import Stacking, score_rule
from mmglan.evaluation.protocols import PROTOCOLS


def _iou(text: str) -> float:
    value = at_least(0, float)(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"expected an IoU below 1 but got {text}")
    return value


def _score_rule(text: str) -> str:
    try:
        score_rule(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def add_stack_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how boxes on slices become 3D detections."""
    parser.add_argument(
        "--stack-iou",
        type=_iou,
        help="2D boxes on neighbouring slices are one lesion above this IoU (default 0.1)",
    )
    parser.add_argument(
        "--stack-gap",
        type=at_least(0),
        metavar="N",
        help="slices without a box that a lesion may skip (default 0)",
    )
    parser.add_argument(
        "--stack-score",
        type=_score_rule,
        metavar="RULE",
        help="score of the lesion from those of its boxes: max (default), mean, noisy-or, or top5 "
        "for the mean of the five highest ones",
    )


def stacking_of(args: argparse.Namespace) -> Stacking | None:
    """Return how boxes are to be stacked; None where no option says."""
    names = ("iou", "gap", "score")
    given = {name: getattr(args, f"stack_{name}") for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    return Stacking(**given) if given else None


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the ground truth, the protocol and the intervals."""
    parser.add_argument("--gt", type=Path, help="COCO annotation file of the test set")
    parser.add_argument("--volumes", type=Path, help="3D ground truth, volumes_<split>.json")
    parser.add_argument(
        "--gt-masks", type=Path, help="folder of true label maps, <volume_id>.nii.gz"
    )
    parser.add_argument(
        "--ids",
        type=Path,
        help="table of prepare's --ids, if label maps are named as the source volumes",
    )
    parser.add_argument(
        "--nifti-form",
        choices=FORMS,
        default="auto",
        help="label maps whose qform and sform disagree: refuse them (default), or take one",
    )
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="deeplesion")
    parser.add_argument(
        "--bootstrap",
        type=at_least(0),
        default=1000,
        metavar="N",
        help="resamples of patients for the intervals, 0 for none (default 1000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resampling (default 0)")
    parser.add_argument(
        "--level", type=between(0, 1), default=0.95, help="of the intervals, as a fraction (0.95)"
    )
    parser.add_argument("--interval", choices=["bca", "percentile"], default="bca")
    parser.add_argument(
        "--binary-masks",
        action="store_true",
        help="predicted label maps are masks, not instances: take their connected components",
    )
    add_stack_arguments(parser)
    parser.add_argument(
        "--neighbour-reach",
        type=at_least(0),
        default=0,
        metavar="N",
        help="average the scores of 2D boxes and masks with those at the same place on the slices "
        "up to N away (default 0: do not)",
    )
    parser.add_argument(
        "--jobs", type=at_least(1), default=1, help="processes that read label maps (default 1)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def progress_bar(what: str, quiet: bool) -> Callable[[Iterable], Iterable]:
    """Return a function that shows the progress of a loop on standard error, or does not."""
    return lambda items: tqdm(items, desc=what, file=sys.stderr, disable=quiet)
