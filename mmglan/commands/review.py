"""Look at findings and correct them: study pages, DICOM SR of a review, agreement of two readers.

mmglan review scans --findings findings --bookmarks bookmarks.csv --out-dir pages
mmglan review scan --to-sr v0001.review.json --out corrected.sr.dcm
mmglan review --compare first.review.csv second.review.csv --out pairs.csv

INPUT is a scan (a file of any volume format or a DICOM folder) or a folder of many, as for mmglan
infer, whose output --findings names. Each scan gets a page OUT/v0001.html, and OUT/index.html lists
them. A page holds the whole scan, works without a network, and exports what a reader decides as a
bookmark table, Slicer markups and review.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from data_prep.atomic_files import write_bytes, write_csv
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.command_line import command_parser, reports_errors
from data_prep.dataset.prepare_args import add_series_options
from data_prep.errors import DataError
from mmglan.commands.common.scans import find_scans
from mmglan.commands.common.study_pages import read_scan, write_pages
from mmglan.review.reader_agreement import Agreement, BlandAltman, agreement, crosses_of
from mmglan.review.review_file import accepted_findings, read_review

# What each kind of use takes beside `--quiet`, and what it needs of that.
SERIES = {"series_rule": False, "modality": False, "series_description": False}
PAGES = {"inputs": True, "out_dir": True, "findings": False, "bookmarks": False, "ids": False}
PAGES |= SERIES
TO_SR = {"inputs": True, "to_sr": True, "out": True} | SERIES
COMPARE = {"compare": True, "out": False}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__, "mmglan review")
    add = parser.add_argument
    add("inputs", type=Path, nargs="*", metavar="INPUT", help="scans or folders of scans")
    add("--out-dir", type=Path, help="folder of the pages")
    add("--findings", type=Path, help="output folder of mmglan infer on the same INPUT")
    add("--bookmarks", type=Path, help="bookmarks of the scans, in any format of mmglan prepare")
    add("--ids", type=Path, help="also write the table of pseudonyms and paths; keep it apart")
    add_series_options(add)
    add("--to-sr", type=Path, metavar="REVIEW", help="write the lesions accepted in a review.json")
    add(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="compare the tables of two readers: agreement, differences of sizes",
    )
    add("--out", type=Path, help="file of --to-sr, or table of the pairs of --compare")
    add("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)
    kind = TO_SR if args.to_sr else COMPARE if args.compare else PAGES
    for name in {**PAGES, **TO_SR, **COMPARE}:
        shown = "INPUT" if name == "inputs" else f"--{name.replace('_', '-')}"
        use = {id(TO_SR): "--to-sr", id(COMPARE): "--compare"}.get(id(kind), "pages of scans")
        if getattr(args, name) not in ([], parser.get_default(name)) and name not in kind:
            parser.error(f"expected no {shown} with {use}; leave it out")
        if kind.get(name) and not getattr(args, name):
            parser.error(f"expected {shown} with {use}; add it")
    return args


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 if a scan or a bookmark was left out."""
    args = parse_args(argv)
    if args.to_sr:
        return _write_sr(args)
    return _compare(args) if args.compare else write_pages(args)


def _write_sr(args: argparse.Namespace) -> int:
    from data_prep.volumes.dicom.source import read_source_slices
    from mmglan.inference.outputs.dicom_sr import sr_bytes  # imports highdicom

    with ExitStack() as unpacked:
        scans = find_scans(args, unpacked)
        if len(scans) > 1:
            raise DataError(f"Expected one scan with --to-sr but got {len(scans)}. Name one.")
        (scan,) = scans
        volume = read_scan(scan, args)
        findings = accepted_findings(read_review(args.to_sr), volume)
        sources = read_source_slices(scan.root / scan.path, volume, root=scan.root)
    write_bytes(args.out, sr_bytes(findings, volume, sources))
    print(f"{args.out}: {len(findings.lesions)} lesions.")
    return 0


def _compare(args: argparse.Namespace) -> int:
    first, second = (read_bookmarks(path) for path in args.compare)
    for read in (first, second):
        if read.errors:
            raise read.errors[0]
    lesions = [crosses_of(read.records) for read in (first, second)]
    rejected = [crosses_of(read.rejected) for read in (first, second)]
    found = agreement(*lesions, *rejected)
    print("\n".join(_summary(found)))
    if args.out:
        write_csv(args.out, PAIR_COLUMNS, _rows(found))
        print(f"Written to {args.out}: a row per lesion.")
    return 0


PAIR_COLUMNS = (
    *("volume", "marked_by", "x_mm", "y_mm", "z_mm"),
    *("long_axis_mm_a", "long_axis_mm_b", "short_axis_mm_a", "short_axis_mm_b"),
)


def _rows(found: Agreement) -> Iterator[list]:
    """Yield a row per lesion: those of both readers, of the first, of the second."""
    for one, other in found.pairs:
        sizes = (one.long_mm, other.long_mm, one.short_mm, other.short_mm)
        yield [one.volume, "both", *_mm(one.centre), *_mm(sizes)]
    for one in found.only_first:
        long, short = _mm((one.long_mm, one.short_mm))
        yield [one.volume, "a", *_mm(one.centre), long, "", short, ""]
    for one in found.only_second:
        long, short = _mm((one.long_mm, one.short_mm))
        yield [one.volume, "b", *_mm(one.centre), "", long, "", short]


def _mm(values: Iterable[float]) -> list[float]:
    return [round(float(value), 3) for value in values]


def _summary(found: Agreement) -> Iterator[str]:
    yield f"lesions of both readers     {len(found.pairs)}"
    yield f"of the first alone          {len(found.only_first)}"
    yield f"of the second alone         {len(found.only_second)}"
    yield f"rejected by both            {found.both_rejected}"
    yield f"positive agreement          {_number(found.positive_agreement)}"
    yield f"Cohen's kappa               {_number(found.kappa)}"
    for name, sizes in (("long axis", found.long_axis), ("short axis", found.short_axis)):
        yield f"{name}, second - first   {_limits(sizes)}"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _limits(sizes: BlandAltman | None) -> str:
    if sizes is None:
        return "fewer than two pairs"
    return f"{sizes.bias:+.2f} mm, limits of agreement {sizes.low:+.2f} to {sizes.high:+.2f} mm"
