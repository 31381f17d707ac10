"""Score pseudo masks against voxel masks: ``python -m data_prep.score_pseudo_masks``.

Bookmarks are measured on every 2D component of the masks; pseudo masks are made from image and
bookmark by every seeding; Dice, average surface distance (mm) and the IoU of the boxes are compared
(the paper's Sec. 4.4). Where only boxes are known (``--boxes``), boxes are compared.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_prep import inputs, overlay, parallel, pseudo_mask_cases, pseudo_mask_scores
from data_prep.errors import DataError
from data_prep.output_folder import replace_file
from data_prep.pseudo_mask_cases import Case, Selection
from data_prep.pseudo_mask_scores import SEEDINGS
from data_prep.recist import Bookmark

# With fewer volumes than this, 3D objects are resampled instead of volumes.
MIN_VOLUMES = 10
_TILE_PX = 176


@dataclass(frozen=True)
class Task:
    """One volume with its mask, or one table of boxes, for a worker."""

    image: Path
    truth: Path
    root: Path
    boxes: bool
    margin: float
    origin: int
    select: Selection

    def cases(self) -> Iterator[Case]:
        if self.boxes:
            return pseudo_mask_cases.from_boxes(
                self.truth, self.root, self.margin, self.origin, self.select
            )
        return pseudo_mask_cases.from_masks(self.image, self.truth, self.root, self.select)


def run(task: Task) -> tuple[list[dict[str, Any]], str]:
    """Score all cases of a task by every seeding; returns the rows and an error line or ''."""
    cv2.setNumThreads(1)
    rows: list[dict[str, Any]] = []
    try:
        for case in task.cases():
            rows += [pseudo_mask_scores.score(case, seeding) for seeding in SEEDINGS]
    except DataError as error:
        return rows, str(error)
    return rows, ""


def find_tasks(args: argparse.Namespace) -> tuple[list[Task], list[str]]:
    """Volumes with masks, and the error lines of volumes without."""
    images, select = (
        Path(args.images),
        Selection(args.min_short_px, args.max_long_mm, args.noise, args.seed),
    )
    if args.boxes:
        return [Task(images, Path(args.boxes), images, True, args.margin, args.origin, select)], []
    masks = Path(args.masks)
    if images.is_file():
        return [Task(images, masks, images.parent, False, 0.0, 0, select)], []
    tasks, errors = [], []
    for volume in inputs.find_volumes(images):
        mask = inputs.find_mask(masks, volume)
        if mask is None:
            errors.append(f"{volume}: Expected a mask of the same name but got none. Add it.")
        else:
            tasks.append(Task(images / volume, masks / mask, images, False, 0.0, 0, select))
    if not tasks:
        raise DataError("Expected volumes with masks but got none. Correct --images and --masks.")
    return tasks, errors


def csv_bytes(rows: Sequence[dict[str, Any]]) -> bytes:
    """A CSV table; floats with six digits, nothing for None and NaN."""

    def cell(value: Any) -> Any:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.6g}"
        return "" if value is None else value

    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue().encode()


def table_text(summary: Sequence[dict[str, Any]], level: float) -> str:
    """The overall table with intervals, then the means per group, as Markdown."""

    def interval(row: dict[str, Any], name: str, digits: int = 3, sign: str = "") -> str:
        if math.isnan(row[name]):
            return "–"
        text = f"{row[name]:{sign}.{digits}f}"
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        if math.isnan(low):
            return text
        return f"{text} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"

    overall = [row for row in summary if row["group"] == "all"]
    has_masks = not math.isnan(overall[0]["dsc"])
    lines = [
        f"n = {overall[0]['n']} lesions in {overall[0]['n_clusters']} clusters; "
        f"intervals at {level:.0%}, clusters resampled.",
        "",
        "| seeding | DSC | ASD mm | IoU of boxes | bounded minus it | oval instead | empty |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in overall:
        cells = [row["seeding"], interval(row, "dsc"), interval(row, "asd_mm", 2)]
        cells += [interval(row, "iou"), interval(row, "bounded_minus", 3, "+")]
        cells += [str(row["n_replaced"]), str(row["n_empty"])]
        lines.append(f"| {' | '.join(cells)} |")
    metric = "dsc" if has_masks else "iou"
    lines += ["", f"Mean {'DSC' if has_masks else 'IoU of boxes'} by group:", ""]
    lines += [f"| group | n | {' | '.join(SEEDINGS)} |", "|---" * (2 + len(SEEDINGS)) + "|"]
    for group in dict.fromkeys(row["group"] for row in summary):
        rows = {row["seeding"]: row for row in summary if row["group"] == group}
        means = " | ".join(f"{rows[seeding][metric]:.3f}" for seeding in SEEDINGS)
        lines.append(f"| {group} | {rows['bounded']['n']} | {means} |")
    return "\n".join(lines) + "\n"


def draw_worst(tasks: Sequence[Task], rows: Sequence[dict[str, Any]], number: int) -> np.ndarray:
    """The cases where ``bounded`` fares worst: truth yellow, mask green, bookmark cyan."""
    bounded = [row for row in rows if row["seeding"] == "bounded"]
    metric = "iou" if bounded[0]["dsc"] is None else "dsc"
    worst = sorted(bounded, key=lambda r: (r[metric], r["volume"], r["slice"], r["label"]))[:number]
    wanted = {pseudo_mask_scores.row_key(row): rank for rank, row in enumerate(worst)}
    volumes = {row["volume"] for row in worst}
    tiles: dict[int, np.ndarray] = {}
    for task in tasks:
        if not task.boxes and task.image.relative_to(task.root).as_posix() not in volumes:
            continue
        for case in task.cases():
            key = (case.volume, case.slice_index, case.label, case.part)
            if key in wanted:
                tiles[wanted[key]] = _tile(case)
    captions = [
        f"{r[metric]:.2f} {Path(r['volume']).name[:10]} z{r['slice']} #{r['label']}" for r in worst
    ]
    return overlay.sheet([tiles[rank] for rank in range(len(worst))], captions)


def _tile(case: Case) -> np.ndarray:
    mask = pseudo_mask_scores.make_mask(case.image, case.bookmark, "bounded").mask
    x1, y1, x2, y2 = case.box
    half = max(x2 - x1, y2 - y1, 8.0)
    left, top = (max(int((a + b) / 2 - half), 0) for a, b in ((x1, x2), (y1, y2)))
    view = (slice(top, top + int(2 * half)), slice(left, left + int(2 * half)))
    points = case.bookmark.points() - (left, top)
    low, high = np.percentile(case.image[view], (1, 99))
    picture = overlay.draw(
        np.clip(case.image[view].astype(np.float32), low, high),
        truth_masks=() if case.truth is None else [case.truth[view]],
        truth_boxes=[np.array(case.box) - (left, top, left, top)] if case.truth is None else (),
        predicted_masks=[mask[view]],
        bookmarks=[Bookmark(points[:2], points[2:])],
        scale=max(1, -(-_TILE_PX // int(2 * half))),
    )
    shrink = _TILE_PX / max(picture.shape[:2])
    return cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.score_pseudo_masks",
        description=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--images", required=True, help="volume, or folder of volumes (of pictures with --boxes)")
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--masks", help="voxel mask, or folder of masks named like the volumes")
    truth.add_argument("--boxes", help="CSV: file, x1, y1, x2, y2, patient; pixels")
    add("--margin", type=float, default=0.0, help="px that --boxes are wider on each side (0)")
    add("--origin", type=int, choices=(0, 1), default=0, help="first pixel of --boxes (0)")
    add("--out-dir", required=True, help="receives scores.csv, summary.csv, summary.md, worst.png")
    add("--instances", action="store_true", help="labels number lesions, not structures")
    add("--min-short-px", type=float, default=3.0, help="shortest short axis, pixels (3)")
    add("--max-long-mm", type=float, default=60.0, help="longest long axis, mm (60)")
    add("--noise", type=float, default=0.0, help="noise of end points, share of short axis (0)")
    add("--seed", type=int, default=0, help="of the noise (0)")
    add("--level", type=float, default=0.95, help="confidence level (0.95)")
    add("--resamples", type=int, default=1000, help="bootstrap samples (1000)")
    add("--worst", type=int, default=24, help="pictures of the worst cases (24)")
    add("--jobs", type=int, default=1, help="worker processes (1)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parse(argv)
    try:
        tasks, errors = find_tasks(args)
        rows = []
        for found, error in parallel.run_tasks(run, tasks, jobs=args.jobs, description="scoring"):
            rows += found
            errors += [error] if error else []
        if not rows:
            raise DataError("Expected at least one lesion but got none. Widen the limits of size.")
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    rows.sort(key=lambda r: (*pseudo_mask_scores.row_key(r), SEEDINGS.index(r["seeding"])))
    # Lesions of one volume are alike; of one object on neighbouring slices, even more so.
    many = args.boxes or len({row["volume"] for row in rows}) < MIN_VOLUMES
    summary = []
    for group, members in pseudo_mask_scores.groups(rows, bool(args.instances)).items():
        summary += [
            {"group": group, **entry}
            for entry in pseudo_mask_scores.summarize(
                members,
                clusters="cluster" if many else "volume",
                level=args.level,
                n_resamples=args.resamples,
            )
        ]
    text = table_text(summary, args.level)
    out = Path(args.out_dir)
    replace_file(out / "scores.csv", csv_bytes(rows))
    replace_file(out / "summary.csv", csv_bytes(summary))
    replace_file(out / "summary.md", text.encode())
    if args.worst:
        sheet = draw_worst(tasks, rows, args.worst)
        replace_file(out / "worst.png", cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes())
    print(text)
    for line in errors:
        print(line, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
