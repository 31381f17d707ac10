"""The pages of `mmglan review`: scans with their findings and bookmarks."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from data_prep.atomic_files import write_text
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.dataset.prepare_args import series_choice
from data_prep.errors import DataError
from data_prep.volumes.search.volume_index import VolumeIndex
from data_prep.volumes.volume import Volume, read_volume
from mmglan.commands.common.arguments import progress_bar
from mmglan.commands.common.scans import Scan, find_scans, names_of, write_scan_ids
from mmglan.detections.findings import Findings, ScanGeometry, read_findings_file
from mmglan.review.bookmarked_lesions import lesions_of
from mmglan.review.study_page import IndexEntry, build_index, build_page


def write_pages(args: argparse.Namespace) -> int:
    """Write a page for each scan, and the list of them; 1 if a scan or a bookmark was left out."""
    with ExitStack() as unpacked:
        scans = find_scans(args, unpacked)
        write_scan_ids(args, scans)
        return _write_pages(args, scans)


def read_scan(scan: Scan, args: argparse.Namespace) -> Volume:
    """Read a scan as the options of series say."""
    choice = series_choice(args)
    return read_volume(
        scan.root / scan.path,
        root=scan.root,
        series_rule=choice.rule,
        modality=choice.modality,
        series_description=choice.description,
    )


def _write_pages(args: argparse.Namespace, scans: Sequence[Scan]) -> int:
    marks, errors = _bookmarks(args, scans)
    entries = []
    named = list(zip(names_of(scans), scans, strict=True))
    for name, scan in progress_bar("scans", args.quiet)(named):
        try:
            volume = read_scan(scan, args)
            findings = _findings(args.findings, name, volume)
            lesions, refused = lesions_of(marks.get(scan.path, ()), volume)
        except DataError as error:
            errors.append(f"{name}: {error}")
            continue
        errors += map(str, refused)
        page = build_page(findings, volume, bookmarks=lesions)
        write_text(args.out_dir / f"{name}.html", page)
        entries.append(IndexEntry(name, len(volume.array), len(findings.lesions), len(lesions)))
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    write_text(args.out_dir / "index.html", build_index(entries))
    print(f"{args.out_dir / 'index.html'}: {len(entries)} of {len(scans)} scans.")
    return 1 if errors else 0


def _bookmarks(
    args: argparse.Namespace, scans: Sequence[Scan]
) -> tuple[dict[str, list[BookmarkRecord]], list[str]]:
    """Read the bookmarks by volume, and lines on those that cannot be read."""
    marks: dict[str, list[BookmarkRecord]] = defaultdict(list)
    if args.bookmarks is None:
        return marks, []
    if len(args.inputs) > 1:
        raise DataError(
            "Expected one INPUT with --bookmarks, whose volumes are named relative to it, but got"
            f" {len(args.inputs)}. Run the command for each."
        )
    index = VolumeIndex(scans[0].root, [args.out_dir], series_choice(args))
    read = read_bookmarks(args.bookmarks, image_root=index)
    for record in read.records:
        marks[record.volume].append(record)
    return marks, list(map(str, read.errors))


def _findings(folder: Path | None, name: str, volume: Volume) -> Findings:
    """Read what was found in a scan, or make findings without a lesion."""
    if folder is None:
        return Findings(name, ScanGeometry.of(volume), (), warnings=tuple(volume.notes))
    try:
        findings = read_findings_file(folder / name / "findings.json", f"{name}/findings.json")
    except FileNotFoundError:
        raise DataError(
            "Expected the findings of mmglan infer but found none. Give the same INPUT to both"
            " commands.",
            path=f"{name}/findings.json",
        ) from None
    difference = findings.geometry.grid.difference_from(volume.grid)
    if difference:
        raise DataError(
            f"Expected findings on the grid of the scan with {difference}. Give the same INPUT to"
            " both commands.",
            path=f"{name}/findings.json",
        )
    return findings
