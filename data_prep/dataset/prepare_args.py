"""The command line of `data_prep.prepare`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence

from data_prep.bookmarks import one_axis
from data_prep.command_line import at_least
from data_prep.dataset.one_volume.slice_selection import KEEP_EMPTY, VolumeOptions, window_of
from data_prep.dataset.splits.split import SPLITS
from data_prep.pseudo_masks import methods
from data_prep.pseudo_masks.grabcut import ITERATIONS
from data_prep.volumes.dicom.series_choice import SERIES_RULES, SeriesChoice
from data_prep.volumes.itk.nifti_geometry import FORMS
from data_prep.volumes.read_options import NAN_RULES, PHILIPS_RULES

DESCRIPTION = """From volumes and RECIST bookmarks to a COCO data set: normalised 16-bit slices,
annotations with pseudo masks and without, ground truth where there are voxel masks, overlays to
look at, and a report. A run that was interrupted goes on where it stopped when the same command
is given again. Exit status: 0 if everything was done, 1 if rows or volumes were left out (see
errors.txt), 2 if nothing could be made."""


def volume_options(args: argparse.Namespace) -> VolumeOptions:
    """Return the options of the command line that concern single volumes."""
    return VolumeOptions(
        mask_method=args.mask_method,
        normalize=args.normalize,
        propagate=args.propagate,
        context=args.context,
        keep_empty=args.keep_empty,
        max_empty=args.max_empty,
        single_slices=args.single_slices,
        binary_masks=args.binary_masks,
        segments=args.segments,
        series_rule=args.series_rule,
        modality=args.modality,
        series_description=args.series_description,
        nifti_form=args.nifti_form,
        nan=args.nan,
        philips_scaling=args.philips_scaling,
        iterations=args.grabcut_iterations,
    )


def series_choice(args: argparse.Namespace) -> SeriesChoice:
    """Return which DICOM series the command line asks for."""
    return SeriesChoice(args.series_rule, args.modality, args.series_description)


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != 3 or min(shares) < 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise argparse.ArgumentTypeError(
            f"expected three shares of 0 or more with sum 1, as 0.7,0.15,0.15, but got {text}"
        )
    return shares


def _splits(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if not set(names) <= set(SPLITS):
        raise argparse.ArgumentTypeError(f"expected splits of {', '.join(SPLITS)} but got {text}")
    return tuple(split for split in SPLITS if split in names)


def normalization(text: str) -> str:
    """Type of an argument that names a normalisation of slices; see `window_of`."""
    try:
        window_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def add_series_options(add: Callable) -> None:
    """Add the options that choose DICOM series, by the parser's or group's `add_argument`."""
    add(
        "--series-rule",
        "--series",
        choices=SERIES_RULES,
        default="only",
        help="DICOM folders with several series that fit: refuse them (default), take the longest "
        "of each study, or, in searches below a folder, all",
    )
    add("--modality", help="only DICOM series of this modality, e.g. MR")
    add(
        "--series-description",
        type=pattern,
        metavar="PATTERN",
        help="only DICOM series whose description contains this regular expression, e.g. 't2.*tra'",
    )


def pattern(text: str) -> str:
    """Type of an argument that is a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"expected a regular expression, as '(P[0-9]+)/', but got {text} ({error})"
        ) from None
    return text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="mmglan prepare", description=DESCRIPTION)
    add = parser.add_argument_group("input").add_argument
    add(
        "--images",
        required=True,
        help="folder of the volumes, one volume, a DICOMDIR, or a zip archive of any of these",
    )
    add_series_options(add)
    add(
        "--nifti-form",
        choices=FORMS,
        default="auto",
        help="NIfTI volumes and masks whose qform and sform (or sform and pixdim) disagree: refuse "
        "them (default), or take the one named",
    )
    add(
        "--nan",
        choices=NAN_RULES,
        default="refuse",
        help="NaN voxels of volumes: refuse (default), or fill them with the lowest value",
    )
    add(
        "--philips-scaling",
        choices=PHILIPS_RULES,
        default="display",
        help="Philips MR in DICOM: display values (default), or precise ones by its private scale",
    )
    add(
        "--bookmarks",
        required=True,
        nargs="+",
        metavar="FILE",
        help="RECIST bookmarks (see docs/data_prep.md), then tables of reviews that correct them; "
        "the options below hold for the first file",
    )
    add(
        "--bookmark-ids",
        metavar="TABLE",
        help="table of --ids (of mmglan infer, review or prepare), if reviews call volumes by "
        "pseudonyms",
    )
    add("--bookmark-format", default="auto", help="format of the bookmarks (default: by content)")
    add("--one-based", action="store_true", help="a CSV that counts pixels and slices from 1")
    add("--frame", choices=("LPS", "RAS"), help="frame of millimetre coordinates in a CSV")
    add(
        "--one-axis",
        choices=one_axis.RULES,
        default="refuse",
        help="measurements without two axes (length, ellipse, point …): refuse them (default), "
        "ignore their regions in training and metrics, or take their outline, of a length the "
        "circle around it",
    )
    add("--bookmark-slices", choices=("largest", "all"), help="slices to measure label masks on")
    add("--bookmark-volume", help="volume of a bookmark file that names none")
    add("--masks", help="folder of voxel masks: their lesions are written as ground truth")
    add("--binary-masks", action="store_true", help="masks hold 0 and 1: separate the components")
    add(
        "--segments",
        type=pattern,
        metavar="PATTERN",
        help="masks that name their segments (DICOM SEG, RTSTRUCT, .seg.nrrd, dataset.json): only "
        "those whose name contains this regular expression are lesions; unlike names are refused "
        "without it",
    )
    add("--subvolumes", help="3D annotations of DeepLesion's sub-volumes, .pkl as published")
    add(
        "--patient-pattern",
        type=pattern,
        help="regular expression; its group 1 in the volume path = patient",
    )
    add = parser.add_argument_group("slices and masks").add_argument
    add(
        "--mask-method",
        choices=methods.MASK_METHODS,
        default=methods.DEFAULT,
        help=f"how pseudo masks are made (default: {methods.DEFAULT})",
    )
    add(
        "--grabcut-iterations",
        type=at_least(1),
        help=f"of GrabCut (default {methods.PAPER_ITERATIONS} for paper, {ITERATIONS} for"
        " bounded-lean, bounded and paper-checked)",
    )
    add(
        "--normalize",
        type=normalization,
        default="image",
        help="image (the paper's, default), volume, or window:low,high (CT)",
    )
    add(
        "--propagate",
        type=at_least(0),
        default=0,
        metavar="N",
        help="follow lesions over at most N slices on either side of a bookmark's, and write "
        "train_propagated.json with those slices too (default: 0)",
    )
    add("--context", type=at_least(0), default=0, help="neighbouring slices on either side")
    add("--keep-empty", choices=KEEP_EMPTY, help="keep slices and/or volumes without lesions")
    add("--max-empty", type=at_least(0), help="keep at most so many empty slices per volume")
    add(
        "--classes",
        choices=("one", "site"),
        default="one",
        help="categories of the annotations: lesion for all (default), or the bookmarks' sites",
    )
    add(
        "--single-slices",
        action="store_true",
        help="volumes may have one slice, such as a folder of key slices, each a file: a 2D set",
    )
    add(
        "--whole-volumes",
        type=_splits,
        nargs="?",
        const=SPLITS,
        default=(),
        metavar="SPLITS",
        help="write all slices, for tests on volumes; of chosen splits (test, or val,test) if the"
        " split is given",
    )
    add = parser.add_argument_group("split").add_argument
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--split", type=_fractions, help=f"shares of {', '.join(SPLITS)} (0.7,0.15,0.15)"
    )
    kinds.add_argument("--folds", type=at_least(3), help="k folds for cross-validation instead")
    kinds.add_argument("--split-file", help="CSV with the columns patient (or volume) and split")
    add("--seed", type=at_least(0), default=0, help="of the random split (default 0)")
    add = parser.add_argument_group("output and work").add_argument
    add("--out-dir", required=True, help="folder for the data set; new or of the same run")
    add(
        "--check",
        action="store_true",
        help="only draw the first bookmarks on their slices (bookmarks.png) and say what is wrong",
    )
    add("--overwrite", action="store_true", help="replace an earlier run with other options")
    add("--ids", help="also write the table of pseudonyms and names to this CSV; keep it apart")
    add(
        "--overlays",
        type=at_least(0),
        default=24,
        help="slices to draw with their masks (default 24)",
    )
    add("--jobs", type=at_least(1), default=1, help="worker processes (default 1)")
    add("--backend", default="loky", help="joblib backend: loky, threading, dask, …")
    add("--scheduler", help="address of a Dask scheduler, tcp://host:8786")
    add("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)
    if args.max_empty is not None and args.keep_empty is None:
        parser.error("expected --keep-empty with --max-empty, which limits what it keeps")
    if args.grabcut_iterations is not None and args.mask_method not in methods.ITERATING:
        parser.error(f"expected no --grabcut-iterations with --mask-method {args.mask_method}")
    if args.single_slices and (args.context or args.whole_volumes or args.propagate):
        parser.error(
            "expected no --context, --whole-volumes, --propagate with --single-slices, which have "
            "no neighbours"
        )
    if args.classes == "site" and args.masks is not None:
        parser.error("expected no --masks with --classes site: voxel masks name no sites")
    if args.subvolumes is not None and args.masks is not None:
        parser.error("expected --masks or --subvolumes, not both: each states the true lesions")
    if args.split_file is not None and args.seed:
        parser.error("expected no --seed with --split-file, which leaves nothing to chance")
    return args
