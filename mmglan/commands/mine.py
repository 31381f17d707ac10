"""Find lesions that nobody marked: what several checkpoints find again and again.

mmglan mine found_epoch16 found_epoch18 found_epoch20 --out mined.csv --bookmarks review.csv

FOUND are output folders of mmglan infer on the same scans, one per checkpoint. The table is one of
bookmarks, as mmglan prepare reads it after the bookmarks: candidates that most checkpoints find
with a high score on several slices have the status lesion, the others ignore. Its rows are in the
order in which a reader's answers would change the training most: a worklist for study pages.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.atomic_files import write_csv
from data_prep.bookmarks.formats.csv_table import MM_COLUMNS
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.command_line import at_least, command_parser, reports_errors
from data_prep.errors import DataError
from mmglan.detections.findings import read_findings_file
from mmglan.evaluation.detection_sets.label_maps import read_ids
from mmglan.review.prediction_bank import Candidate, Rules, candidates
from mmglan.review.reader_agreement import crosses_of

COLUMNS = ("volume", "frame", *MM_COLUMNS, "site", "status", "lesion", "score", "comment")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__, "mmglan mine")
    add, rules = parser.add_argument, Rules()
    add("found", type=Path, nargs="+", metavar="FOUND", help="folders of mmglan infer")
    add("--out", type=Path, required=True, help="table of the candidates")
    add(
        "--bookmarks",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="what is marked already, or was rejected: left out; volumes called as in FOUND",
    )
    add(
        "--findings-ids",
        type=Path,
        metavar="TABLE",
        help="table of infer's --ids, if bookmarks call volumes by their paths",
    )
    add("--share", type=at_least(0, float), default=rules.share, help="least share of FOUND (0.8)")
    add("--score", type=at_least(0, float), default=rules.score, help="least mean score (0.7)")
    add("--slices", type=at_least(1), default=rules.slices, help="least number of slices (2)")
    args = parser.parse_args(argv)
    if args.findings_ids and not args.bookmarks:
        parser.error("expected --bookmarks with --findings-ids")
    return args


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = parse_args(argv)
    rules = Rules(args.share, args.score, args.slices)
    names = _scans(args.found)
    known = _known(args, names)
    mined: list[tuple[str, Candidate]] = []
    for name in names:
        paths = [folder / name / "findings.json" for folder in args.found]
        states = [read_findings_file(path, str(path)) for path in paths]
        marked = crosses_of(known[name], {name: states[0].geometry.grid})
        mined += [(name, one) for one in candidates(states, marked)]
    mined.sort(key=lambda entry: (-entry[1].effect, entry[0]))
    write_csv(args.out, COLUMNS, _rows(mined, rules))
    lesions = sum(one.is_lesion(rules) for _, one in mined)
    print(f"{args.out}: {len(mined)} candidates, {lesions} of them taken for lesions.")
    return 0


def _known(args: argparse.Namespace, scans: Sequence[str]) -> dict[str, list[BookmarkRecord]]:
    """Return what the bookmark files mark or reject in each scan; say what is of other scans."""
    known: dict[str, list[BookmarkRecord]] = defaultdict(list)
    paths = read_ids(args.findings_ids) if args.findings_ids else {}
    records = []
    for path in args.bookmarks or ():
        read = read_bookmarks(path)
        if read.errors:
            raise read.errors[0]
        records += [*read.records, *read.rejected]
    for record in records:
        if (name := _scan_of(record, scans, paths)) is not None:
            known[name].append(replace(record, volume=name))
    here = sum(map(len, known.values()))
    if records and not here:
        raise DataError(
            "Expected bookmarks of the scans in FOUND but got only those of others. Call volumes"
            " as the folders in FOUND, or name infer's table of --ids with --findings-ids.",
            path=args.bookmarks[0],
        )
    if here < len(records):
        print(f"{len(records) - here} of {len(records)} bookmarks are of other scans.")
    return known


def _scan_of(record: BookmarkRecord, scans: Sequence[str], paths: Mapping[str, str]) -> str | None:
    """Return the pseudonym of a bookmark's scan; None if it is not among `scans`."""
    if record.volume in scans:
        return record.volume
    found = [n for n in scans if f"/{paths.get(n, '')}".endswith(f"/{record.volume}")]
    if len(found) > 1:
        raise DataError(
            f"Expected one scan of that path but got {' and '.join(found[:2])}. Give its folder,"
            " too.",
            path=record.file,
            row=record.row,
        )
    return found[0] if found else None


def _scans(folders: Sequence[Path]) -> list[str]:
    """Return the names of the scans, which all folders have to hold."""
    names = [sorted(p.parent.name for p in folder.glob("*/findings.json")) for folder in folders]
    for folder, found in zip(folders, names, strict=True):
        if not found or found != names[0]:
            raise DataError(
                f"Expected findings of {len(names[0])} scans, as in {folders[0].name}, but got"
                f" {len(found)} or other ones. Run mmglan infer on the same scans.",
                path=folder,
            )
    return names[0]


def _rows(mined: Sequence[tuple[str, Candidate]], rules: Rules) -> Iterator[list]:
    for number, (name, one) in enumerate(mined, start=1):
        yield [
            *(name, "LPS", *one.cross.points.ravel().tolist(), one.lesion.site or ""),
            *("lesion" if one.is_lesion(rules) else "ignore", number, round(one.mean_score, 6)),
            f"found by {len(one.scores)} of {one.checkpoints}, {len(one.lesion.slices)} slices",
        ]
