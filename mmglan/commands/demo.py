"""The main job end to end: bookmarks to masks to a trained detector to detections and a report.

Without arguments it draws phantom volumes with known lesions and works on them; with --images and
--bookmarks it works on your data. Every step is a command of its own, printed before it runs. A
step that finished is not run again: interrupt the demo at any time and start it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from data_prep.atomic_files import write_json, write_link
from data_prep.command_line import at_least, reports_errors
from data_prep.phantoms import abdomen
from mmglan.evaluation.evaluation_record import Evaluation, read_evaluation

CONFIG = "glan_r18_demo"
BATCH_SIZE, EPOCHS = 4, 12  # as in CONFIG


@dataclass(frozen=True)
class Step:
    """One command of the demo.

    Attributes:
        name: Key of the step in `steps.json`.
        title: What the reader is told.
        command: Arguments after `mmglan`.
    """

    name: str
    title: str
    command: list[str]


def prepare(images: str, bookmarks: str, masks: str | None, work: Path) -> Step:
    """Build the first step: everything up to the COCO data set."""
    command = ["prepare", "--images", images, "--bookmarks", bookmarks]
    command += ["--masks", masks] if masks else []
    command += ["--out-dir", str(work / "data"), "--jobs", "2", "--overlays", "12"]
    return Step("prepare", "bookmarks to pseudo masks and COCO JSON", command)


def plan(work: Path, epochs: int) -> list[Step]:
    """Build the steps after `prepare`, in order."""
    data, run = work / "data", work / "run"
    annotations = data / "annotations"
    checkpoint = run / "last.pth"
    test = ["test", CONFIG, str(checkpoint)]

    def tested_on(split: str) -> list[str]:
        out = run / ("results" if split == "test" else f"results_{split}")
        return [
            *test,
            *("--work-dir", str(run / f"log_{split}"), "--cfg-options"),
            f"test_dataloader.dataset.ann_file=annotations/{split}.json",
            f"test_evaluator.ann_file={annotations / split}.json",
            f"test_evaluator.outfile_prefix={out}",
        ]

    gt, results = str(annotations / "test.json"), str(run / "results")
    sheet = ["--gt", gt, "--pred", f"{results}.bbox.json", "--segm", f"{results}.segm.json"]
    sheet += ["--images", str(data / "images"), "--out", str(work / "detections.png")]
    sheet += ["--metrics", f"{results}.metrics.json", "--fp", "1"]
    report = [str(run), "--gt", gt, "--images", str(data / "images")]
    train = ["train", CONFIG, "--work-dir", str(run), "--resume"]
    if epochs != EPOCHS:
        train += ["--cfg-options", f"train_cfg.max_epochs={epochs}"]
        train += [
            f"train_cfg.val_interval={epochs}",
            f"default_hooks.checkpoint.interval={max(1, epochs // 10)}",
        ]
    return [
        Step("train", "train Mask R-CNN with both modules", train),
        Step("test-train", "test on the training slices", tested_on("train")),
        Step("test", "test on unseen slices", tested_on("test")),
        Step(
            "plot-detections",
            "slices with ground truth (yellow), detections (green) and scores (red)",
            ["plot-detections", *sheet],
        ),
        Step("report", "HTML report", ["report", *report]),
    ]


def epochs_for(annotations: Path, iterations: int) -> int:
    """Return the epochs over the slices with lesions that make about so many iterations."""
    slices = len({a["image_id"] for a in json.loads(annotations.read_text())["annotations"]})
    return math.ceil(iterations / max(1, math.ceil(slices / BATCH_SIZE)))


def run(step: Step, work: Path, environment: dict[str, str]) -> None:
    """Run a step unless it is recorded as done; record it when it succeeds.

    Raises:
        ValueError: The step was recorded with another command.
        SystemExit: It failed.
    """
    record = work / "steps.json"
    done = json.loads(record.read_text()) if record.exists() else {}
    line = shlex.join(["mmglan", *step.command])
    if step.name in done and done[step.name]["command"] != line:
        raise ValueError(
            f"Expected {work} from a run with the same settings but step '{step.name}' was run as "
            f"{done[step.name]['command']}. Remove {work} or name another --work-dir."
        )
    if step.name in done:
        print(f"[demo] {step.title}: done before ({done[step.name]['seconds']:.0f} s)", flush=True)
        return
    print(f"\n[demo] {step.title}\n[demo] {line}", flush=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "mmglan", *step.command]
    status = subprocess.run(command, env=environment).returncode
    if status:
        print(
            f"error: Expected step '{step.name}' to succeed but got exit status {status}. "
            "Fix what it says above and run the demo again: finished steps are kept.",
            file=sys.stderr,
        )
        raise SystemExit(1)
    if step.name == "train":
        link_last_checkpoint(work / "run")
    done[step.name] = {"command": line, "seconds": time.monotonic() - began}
    write_json(record, done, indent=1)


def link_last_checkpoint(run_dir: Path) -> None:
    """Give the last checkpoint a name that does not depend on the schedule."""
    last = Path((run_dir / "last_checkpoint").read_text().strip())
    write_link(run_dir / "last.pth", last.name)


def summary(work: Path) -> list[str]:
    """Format the main metrics of the demo as lines of text."""
    run_dir = work / "run"
    train, test = (
        read_evaluation(run_dir / f"{name}.metrics.json") for name in ("results_train", "results")
    )
    first, last = loss_of_first_and_last_epoch(run_dir)
    lines = [
        f"training loss (sum of the five tasks, unweighted): {first:.2f} in the first epoch, "
        f"{last:.2f} in the last",
        f"training lesions found at 1 FP per image, box IoU 0.25: "
        f"{_percent(train, 'bbox_FROC25_fp1')} of {train.size.n_lesions}",
        f"unseen test lesions found at 1 FP per image, box IoU 0.25: "
        f"{_percent(test, 'bbox_FROC25_fp1')} of {test.size.n_lesions}",
    ]
    for kind in ("bbox", "segm"):
        names = ("AP25", "AP50", "SEN25", "SEN50")
        values = "  ".join(f"{name} {_percent(test, f'{kind}_{name}')}" for name in names)
        lines.append(f"test, {'boxes' if kind == 'bbox' else 'masks'}: {values}")
    return lines


def _percent(evaluation: Evaluation, name: str) -> str:
    value = evaluation[name].value
    return "-" if value is None else f"{value:.1%}"


def loss_of_first_and_last_epoch(run_dir: Path) -> tuple[float, float]:
    """Mean of the summed raw task losses over the first and over the last epoch logged."""
    by_epoch: dict[int, list[float]] = {}
    for path in sorted(run_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            raw = [value for key, value in entry.items() if key.startswith("raw_")]
            if raw:
                by_epoch.setdefault(entry["epoch"], []).append(sum(raw))
    first, last = by_epoch[min(by_epoch)], by_epoch[max(by_epoch)]
    return sum(first) / len(first), sum(last) / len(last)


def draw_phantoms(work: Path, volumes: int) -> tuple[str, str, str]:
    """Write the default data set once; returns its images, bookmarks and masks."""
    folder = work / "phantom"
    if not (folder / "bookmarks.csv").exists():
        print(f"[demo] drawing {volumes} phantom volumes", flush=True)
        abdomen.write_dataset(folder, volumes, seed=0)
    return str(folder / "images"), str(folder / "bookmarks.csv"), str(folder / "masks")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Command line of the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", help="volume or folder of volumes (default: phantoms)")
    parser.add_argument("--bookmarks", help="RECIST bookmarks of the volumes")
    parser.add_argument("--masks", help="folder of voxel masks, if there are any")
    parser.add_argument("--work-dir", type=Path, help="where everything is written")
    parser.add_argument("--volumes", type=at_least(1), help="phantoms to draw (30)")
    parser.add_argument(
        "--iterations",
        type=at_least(1),
        default=240,
        help="training steps of 4 slices, about (240)",
    )
    args = parser.parse_args(argv)
    if bool(args.images) != bool(args.bookmarks):
        parser.error("expected both --images and --bookmarks, or neither")
    if args.masks and not args.images:
        parser.error("expected --images and --bookmarks with --masks: phantoms have their own")
    if args.volumes and args.images:
        parser.error("expected no --volumes with --images: it is the number of phantoms")
    if args.work_dir is None:
        # A hash, since names of files may name patients.
        paths = "\n".join(map(os.path.abspath, filter(None, (args.images, args.bookmarks))))
        suffix = f"-{hashlib.sha256(paths.encode()).hexdigest()[:8]}" if paths else ""
        args.work_dir = Path("work_dirs") / f"demo{suffix}"
    return args


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the demo; 0 if every step succeeded."""
    args = parse_args(argv)
    work = args.work_dir
    work.mkdir(parents=True, exist_ok=True)
    if args.images:
        source = (os.path.abspath(args.images), os.path.abspath(args.bookmarks))
        source = (*source, args.masks and os.path.abspath(args.masks))
    else:
        source = draw_phantoms(work, args.volumes or 30)
    # Threads that wait must not spin: on a busy machine that makes a step several times as long.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "MMGLAN_DATA": f"{work / 'data'}/"}
    began = time.monotonic()
    run(prepare(*source, work), work, environment)
    epochs = epochs_for(work / "data" / "annotations" / "train.json", args.iterations)
    for step in plan(work, epochs):
        run(step, work, environment)
    print(f"\n[demo] finished in {time.monotonic() - began:.0f} s. Written to {work}:")
    for path in ("data/annotations", "data/overlays", "run/last.pth", "run/results.metrics.json"):
        print(f"  {work / path}")
    for path in (work / "detections.png", work / "run" / "report.html"):
        print(f"  {path}")
    print("[demo] metrics:")
    for line in summary(work):
        print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
