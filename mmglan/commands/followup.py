"""Compare two studies of a patient: lesions that are new, lost, grown or shrunk, and RECIST's sum.

mmglan followup earlier.nii.gz later.nii.gz --marks earlier.json later.json --out-dir followup

EARLIER and LATER are scans. The marks are findings.json, review.json (what was accepted) or
bookmarks of each. Positions are compared in the frame of reference that two DICOM series share, or
after a rigid registration. Writes followup.csv and followup.html.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.atomic_files import write_csv, write_text
from data_prep.command_line import at_least, command_parser, reports_errors
from data_prep.volumes.dicom.source import read_source_slices
from data_prep.volumes.volume import Volume, read_volume
from mmglan.review.followup import Followup, Rules, compare_studies
from mmglan.review.followup_page import COLUMNS, build_followup_page, rows
from mmglan.review.marks_of_study import read_marks
from mmglan.review.registration import RigidMotion, register

REGISTRATIONS = ("auto", "rigid", "none")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__, "mmglan followup")
    add, rules = parser.add_argument, Rules()
    add("earlier", type=Path, metavar="EARLIER", help="scan of the earlier study")
    add("later", type=Path, metavar="LATER", help="scan of the later study")
    add(
        "--marks",
        type=Path,
        nargs=2,
        required=True,
        metavar=("EARLIER", "LATER"),
        help="lesions of each study",
    )
    add("--out-dir", type=Path, required=True, help="folder of the page and the table")
    add(
        "--registration",
        choices=REGISTRATIONS,
        default="auto",
        help="rigid, none, or auto (default): none where both share a DICOM frame of reference",
    )
    add(
        "--change-percent",
        type=at_least(0, float),
        default=rules.change_percent,
        help=f"least change of a short axis, with --change-mm ({rules.change_percent:g})",
    )
    add("--change-mm", type=at_least(0, float), default=rules.change_mm, help="the same in mm (3)")
    add(
        "--target-mm",
        type=at_least(0, float),
        default=rules.target_mm,
        help=f"least short axis of a target in the earlier study ({rules.target_mm:g})",
    )
    return parser.parse_args(argv)


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = parse_args(argv)
    scans = [args.earlier, args.later]
    volumes = [read_volume(scan, root=scan.parent) for scan in scans]
    marks = [read_marks(p, v) for p, v in zip(args.marks, volumes, strict=True)]
    motion = _motion(args.registration, scans, volumes)
    rules = Rules(args.change_percent, args.change_mm, args.target_mm)
    found = compare_studies(*marks, motion, rules)
    write_csv(args.out_dir / "followup.csv", COLUMNS, rows(found))
    write_text(args.out_dir / "followup.html", build_followup_page(found, *volumes, motion, rules))
    print(f"positions: {motion.how}")
    for status in ("new", "lost", "grown", "shrunk", "stable"):
        print(f"{status:8}{sum(change.status == status for change in found.changes)}")
    print(f"sum of the targets' short axes: {_sum(found)}")
    return 0


def _sum(found: Followup) -> str:
    before, after = found.sums_mm
    percent = found.sum_change_percent
    return "no target" if percent is None else f"{before:.1f} -> {after:.1f} mm ({percent:+.1f} %)"


def _motion(kind: str, scans: Sequence[Path], volumes: Sequence[Volume]) -> RigidMotion:
    if kind == "none":
        return RigidMotion.none()
    if kind == "auto":
        frames = [_frame_of_reference(*pair) for pair in zip(scans, volumes, strict=True)]
        if frames[0] and frames[0] == frames[1]:
            return RigidMotion.none("same frame of reference")
    return register(*volumes)


def _frame_of_reference(scan: Path, volume: Volume) -> str | None:
    """Return the UID of a DICOM scan's frame of reference; None of other scans."""
    if not volume.slice_uids:
        return None
    header = read_source_slices(scan, volume, root=scan.parent)[0].header
    return str(header.get("FrameOfReferenceUID", "")) or None
