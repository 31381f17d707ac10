"""Score pseudo masks against voxel masks: `mmglan score-masks`.

Bookmarks are measured on every 2D component of the masks, or given (`--bookmarks`) and paired with
the components that they overlap; pseudo masks are made from image and bookmark by every method;
Dice, average surface distance (mm) and the IoU of the boxes are compared (the paper's Sec. 4.4).
Where only boxes are known (`--boxes`), boxes are compared. `--pred` and `--gt` score the masks that
`prepare` wrote instead: `<split>.json` against `<split>_truth.json`. Bookmarks that no lesion
belongs to are listed as errors.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_prep import overlay, parallel
from data_prep.atomic_files import write_bytes
from data_prep.bookmarks.formats.dicom_labels import refuse_objects
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.bookmarks.record import BookmarkRecord
from data_prep.command_line import at_least, between, reports_errors
from data_prep.dataset import checks
from data_prep.errors import DataError
from data_prep.paths import without_series
from data_prep.pseudo_masks import box_cases, written
from data_prep.pseudo_masks import cases as pseudo_mask_cases
from data_prep.pseudo_masks import report as pseudo_mask_report
from data_prep.pseudo_masks import scores as pseudo_mask_scores
from data_prep.pseudo_masks.box_cases import BoxRow
from data_prep.pseudo_masks.cases import Case, Selection
from data_prep.pseudo_masks.methods import DEFAULT, METHODS
from data_prep.volumes.itk.nifti_geometry import FORMS
from data_prep.volumes.search.volume_index import VolumeIndex, strip_suffix

# With fewer volumes than this, 3D objects are resampled instead of volumes.
MIN_VOLUMES = 10


@dataclass(frozen=True)
class Task:
    """One volume with its mask, or one row of a table of boxes, for a worker."""

    root: Path
    select: Selection
    volume: str = ""
    mask: Path | None = None
    box: BoxRow | None = None
    margin: float = 0.0
    one_based: bool = False
    records: tuple[BookmarkRecord, ...] | None = None
    iterations: int | None = None

    def cases(self, errors: list[DataError]) -> Iterable[Case]:
        """Yield the lesions to score, and add what is wrong with single bookmarks to `errors`."""
        if self.box is not None:
            yield box_cases.from_box(self.box, self.root, self.margin, self.one_based, self.select)
        elif self.records is not None:
            image = self.root / self.volume
            found, wrong = pseudo_mask_cases.from_bookmarks(
                image, self.mask, self.root, self.records, self.select.nifti_form
            )
            errors += wrong
            yield from found
        else:
            image = self.root / self.volume
            yield from pseudo_mask_cases.from_masks(image, self.mask, self.root, self.select)


def run(task: Task) -> tuple[list[dict[str, Any]], list[str]]:
    """Score all lesions of a task by every method; returns the rows and error lines."""
    cv2.setNumThreads(1)
    rows: list[dict[str, Any]] = []
    errors: list[DataError] = []
    try:
        for case in task.cases(errors):
            rows += [pseudo_mask_scores.score(case, method, task.iterations) for method in METHODS]
    except DataError as error:
        errors.append(error)
    return rows, [str(error) for error in errors]


def find_tasks(args: argparse.Namespace) -> tuple[list[Task], list[str]]:
    """Find volumes with masks (or rows with boxes), and the error lines of volumes without."""
    images = Path(args.images)
    select = Selection(args.min_short_px, args.max_long_mm, args.noise, args.seed, args.nifti_form)
    iterations = args.grabcut_iterations
    if args.boxes:
        rows = box_cases.read_boxes(Path(args.boxes))
        base = Task(images, select, margin=args.margin, one_based=args.one_based)
        base = replace(base, iterations=iterations)
        return [replace(base, volume=row.cells["file"] or "", box=row) for row in rows], []
    masks = Path(args.masks)
    refuse_objects(masks)
    root = images.parent if images.is_file() else images
    among = masks.resolve() == root.resolve()
    mask_index = None if masks.is_file() else VolumeIndex(masks, [root], among_volumes=among)
    index = VolumeIndex(root, [] if mask_index is None else [masks])
    volumes, errors = [images.name] if images.is_file() else index.volumes, []
    records: dict[str, list[BookmarkRecord]] = {}
    if args.bookmarks:
        read = read_bookmarks(
            args.bookmarks,
            image_root=index,
            nifti_form=args.nifti_form,
            **({"one_based": True} if args.one_based else {}),
        )
        errors += map(str, read.errors)
        for record in read.records:
            records.setdefault(record.volume, []).append(record)
        volumes = [v for v in records if not images.is_file() or without_series(v) == images.name]
    if mask_index is None and len(volumes) > 1:
        raise DataError(
            f"Expected a folder of masks for {len(volumes)} volumes but got one file. Name the"
            " folder, with one mask per volume.",
            path=masks.name,
        )
    tasks = []
    for volume in volumes:
        mask = masks if mask_index is None else mask_index.mask_of(volume)
        if mask is None:
            errors.append(f"{volume}: Expected a mask of the same name but got none. Add it.")
            continue
        marks = tuple(records[volume]) if args.bookmarks else None
        path = masks if mask_index is None else masks / mask
        tasks.append(Task(root, select, volume, path, records=marks, iterations=iterations))
    if not tasks:
        raise DataError("Expected volumes with masks but got none. Correct --images and --masks.")
    return tasks, errors


def draw_worst(tasks: Sequence[Task], rows: Sequence[dict[str, Any]], number: int) -> np.ndarray:
    """Draw the worst of the default method: ground truth yellow, mask green, bookmark cyan."""
    scores = [row for row in rows if row["mask_method"] == DEFAULT]
    metric = "iou" if scores[0]["dsc"] is None else "dsc"
    worst = sorted(scores, key=lambda r: (r[metric], r["volume"], r["slice"], r["label"]))[:number]
    wanted = {pseudo_mask_scores.row_key(row): rank for rank, row in enumerate(worst)}
    volumes = {row["volume"] for row in worst}
    tiles: dict[int, np.ndarray] = {}
    for task in tasks:
        if task.volume not in volumes:
            continue
        with contextlib.suppress(DataError):  # told already, while scoring
            for case in task.cases([]):
                key = (case.volume, case.slice_index, case.label, case.part)
                if key in wanted:
                    tiles[wanted[key]] = pseudo_mask_report.tile(case)
    captions = [
        f"{r[metric]:.2f} {_short_name(r['volume'])} z{r['slice']} #{r['label']}" for r in worst
    ]
    return overlay.sheet([tiles[rank] for rank in range(len(worst))], captions)


def _short_name(volume: str) -> str:
    return Path(strip_suffix(without_series(volume))).stem[-13:]


def summarize(args: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compute means and intervals of every group of lesions, a row per method."""
    # Lesions of one volume are alike; of one object on neighbouring slices, even more so.
    few = args.boxes or len({row["volume"] for row in rows}) < MIN_VOLUMES
    return [
        {"group": group, **entry}
        for group, members in pseudo_mask_scores.groups(rows, args.instances).items()
        for entry in pseudo_mask_scores.summarize(
            members,
            clusters="cluster" if few else "volume",
            level=args.level,
            n_resamples=args.bootstrap,
        )
    ]


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="mmglan score-masks",
        description=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    number = at_least(0, float)
    add("--images", help="volume, or folder of volumes (of images with --boxes)")
    gt = parser.add_mutually_exclusive_group(required=True)
    gt.add_argument("--masks", help="voxel mask, or folder of masks named like the volumes")
    gt.add_argument("--boxes", help="CSV: file, x1, y1, x2, y2, patient; pixels")
    gt.add_argument("--gt", help="<split>_truth.json of a prepared data set, with --pred")
    add("--pred", help="<split>.json of the same data set: its pseudo masks are scored")
    add("--bookmarks", help="bookmarks for --masks, in any format; default: measured on the masks")
    add("--margin", type=number, default=0.0, help="px that --boxes are wider on each side (0)")
    add("--one-based", action="store_true", help="--boxes or a CSV of --bookmarks count from 1")
    add("--grabcut-iterations", type=at_least(1), help="of GrabCut (default: each method's own)")
    add("--out-dir", required=True, help="receives scores.csv, summary.csv, summary.md, worst.png")
    add("--instances", action="store_true", help="labels number lesions, not structures")
    add(
        "--nifti-form",
        choices=FORMS,
        default="auto",
        help="volumes and masks whose qform and sform disagree: refuse them (default), or take one",
    )
    add("--min-short-px", type=number, default=3.0, help="shortest short axis, pixels (3)")
    add("--max-long-mm", type=number, default=60.0, help="longest long axis, mm (60)")
    add("--noise", type=number, default=0.0, help="noise of end points, share of short axis (0)")
    add("--seed", type=at_least(0), default=0, help="of the noise (0)")
    add("--level", type=between(0, 1), default=0.95, help="confidence level (0.95)")
    add("--bootstrap", type=at_least(1), default=1000, help="bootstrap samples (1000)")
    add("--worst", type=at_least(0), default=24, help="lesions to draw, the worst first (24)")
    add("--jobs", type=at_least(1), default=1, help="worker processes (1)")
    add("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)
    if (args.gt is None) != (args.pred is None):
        parser.error("--gt and --pred go together")
    if (args.gt is None) != (args.images is not None):
        parser.error("expected either --images (with --masks or --boxes) or --gt with --pred")
    for wrong, message in (
        (args.margin and not args.boxes, "--margin goes with --boxes only"),
        (
            args.one_based and not (args.boxes or args.bookmarks),
            "--one-based goes with --boxes or --bookmarks only",
        ),
        (args.bookmarks and not args.masks, "--bookmarks goes with --masks only"),
        (args.nifti_form != "auto" and not args.masks, "--nifti-form goes with --masks only"),
        (args.gt and args.grabcut_iterations, "--grabcut-iterations: --pred has its masks"),
        (
            (args.bookmarks or args.gt)
            and (args.noise, args.seed, args.min_short_px, args.max_long_mm) != (0, 0, 3, 60),
            "--noise, --seed, --min-short-px and --max-long-mm go with measured bookmarks only",
        ),
    ):
        if wrong:
            parser.error(message)
    return args


def score_lesions(
    args: argparse.Namespace,
) -> tuple[list[Task], list[dict[str, Any]], list[str]]:
    """Score what the command line names; returns tasks (to draw), rows and error lines."""
    if args.gt:
        pred, gt = (checks.load(Path(path)) for path in (args.pred, args.gt))
        rows, wrong = written.score_annotations(pred, gt, Path(args.pred).name)
        return [], rows, [str(error) for error in wrong]
    tasks, errors = find_tasks(args)
    rows = []
    work = parallel.run_tasks(
        run, tasks, jobs=args.jobs, description="scoring", progress=not args.quiet
    )
    for found, wrong in work:
        rows += found
        errors += wrong
    return tasks, rows, errors


@reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 only if every volume and every bookmark was scored."""
    args = parse(argv)
    tasks, rows, errors = score_lesions(args)
    for line in sorted(errors):
        print(f"error: {line}", file=sys.stderr)
    if not rows:
        raise DataError("Expected at least one lesion but got none. Widen the limits of size.")
    methods = list(METHODS) if tasks else ["written", "box"]
    rows.sort(key=lambda r: (*pseudo_mask_scores.row_key(r), methods.index(r["mask_method"])))
    summary = summarize(args, rows)
    text = pseudo_mask_report.table_text(summary, args.level)
    files = {
        "scores.csv": pseudo_mask_report.csv_bytes(rows),
        "summary.csv": pseudo_mask_report.csv_bytes(summary),
        "summary.md": text.encode(),
    }
    if args.worst and tasks:
        sheet = draw_worst(tasks, rows, args.worst)
        files["worst.png"] = cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes()
    try:
        for name, content in files.items():
            write_bytes(Path(args.out_dir) / name, content)
    except OSError as error:
        raise DataError(
            f"Expected an --out-dir that can be written but got: {error.strerror}. Choose another.",
            path=args.out_dir,
        ) from None
    print(text)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
