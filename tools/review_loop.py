"""Hide bookmarks, train, review within a budget, train again: what a review and mining give back.

    python tools/review_loop.py --source LGG --work-dir work_dirs/review_loop

The source is the LGG segmentation set (docs/evidence.md); fold 0. A share of the bookmarks of the
training patients is hidden. Per seed a model is trained on what is left (arm `hidden`) and runs on
the scans of the training patients. An oracle answers the first rows of its worklist from the voxel
masks. The other arms go on from this model's weights, for as many steps again:

- continued: on what is left;
- reviewed: and on the oracle's answers; a quarter of the slices are rejected places;
- mined: and on what the models of several seeds find again, without a reader; a quarter of the
  slices hold candidates only, which are ignored;
- unmarked: on what is left, with RoIs that score high and are near no bookmark neither lesion nor
  background;
- followed: an epoch on what is left and what the model itself finds of those lesions on other
  slices (`SelfTrainingHook`);
- all: on all bookmarks.

Metrics are means over the seeds, their intervals and p-values of patients. Each step is a command
of mmglan; what is done is skipped, so an interrupted run goes on when the same command is given
again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from pathlib import Path

import numpy as np

from data_prep.atomic_files import write_csv, write_json, write_text
from data_prep.bookmarks.formats.csv_table import MM_COLUMNS, PIXEL_COLUMNS
from data_prep.bookmarks.recist import Bookmark
from data_prep.public_sets import lgg
from data_prep.public_sets.key_slices import key_slice_bookmarks
from data_prep.volumes.volume import Volume, read_label_volume, read_volume
from mmglan.commands.evidence import weights_file
from mmglan.commands.run_table import (
    MMGLAN,
    PACKAGES,
    checkpoint_of,
    is_finished,
    run_test_command,
    train_command,
)
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.detection_sets.load_results import load_detection_sets, read_test_set
from mmglan.evaluation.protocols import get_protocol
from mmglan.evaluation.resampling.comparison import compare_detections
from mmglan.experiments.child_run import run_command
from mmglan.experiments.evidence import MEAN_ONE, PRIMARY
from mmglan.shipped_files import find_config

BATCH = 4  # of configs/cpu
LESION_FREE = 0.25  # of the slices in an epoch of a reviewed or mined set
ARMS = ("hidden", "continued", "reviewed", "all", "mined", "unmarked", "followed")
PAIRS = (
    ("continued", "hidden"),
    ("reviewed", "continued"),
    ("all", "continued"),
    ("all", "reviewed"),
    ("mined", "continued"),
    ("unmarked", "continued"),
    ("followed", "continued"),
)
# Of the first stage. Of the small detectors of configs/cpu, few RoIs have more than 0.5, none 0.9.
UNMARKED_SCORE = 0.3
SAMPLER = f"""train_dataloader = dict(
    sampler=dict(
        _delete_=True, type="LesionBalancedSampler", lesion_free_fraction={LESION_FREE}
    ),
    dataset=dict(filter_cfg=dict(filter_empty_gt=False)),
)
"""
# Not every lesion of a volume has a bookmark, so no slice is taken for lesion-free.
FOLLOW = 'custom_hooks = [dict(type="SelfTrainingHook", begin=0, empty=0)]\n'


@dataclass(frozen=True)
class Arm:
    """What an arm trains on.

    Attributes:
        data: Data set.
        fold: Folder of its annotations.
        settings: Of the config.
        lines: More lines of the config.
    """

    data: Path
    fold: str = "."
    settings: Mapping[str, object] = field(default_factory=dict)
    lines: str = ""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--source", type=Path, required=True, help="folder of the LGG set: images/ and masks/")
    add("--work-dir", type=Path, default=Path("work_dirs/review_loop"))
    add("--config", default=MEAN_ONE, help="needs no complete bookmarks (%(default)s)")
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--steps", type=int, default=240, help="of each training (240)")
    add("--hide", type=float, default=0.4, help="share of the bookmarks (0.4)")
    add("--budget", type=int, default=100, help="answers of the oracle (100)")
    add("--threshold", type=float, default=0.1, help="lowest score in the worklist (0.1)")
    add("--bootstrap", type=int, default=1000, help="resamples, and permutations (1000)")
    args = parser.parse_args(argv)
    args.work_dir = args.work_dir.resolve()
    args.source = args.source.resolve()
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, then evaluate."""
    args = parse_args(argv)
    if "MMGLAN_MOBILENET" not in os.environ:
        os.environ["MMGLAN_MOBILENET"] = str(weights_file(args.work_dir))
    prepare_all(args)
    hide(args)
    prepare(args, "hidden", [args.work_dir / "hidden.csv"])
    for seed in args.seeds:
        train_and_test(args, "hidden", seed)
        if {"reviewed", "mined"} & set(args.arms):
            find(args, seed)
        if "reviewed" in args.arms:
            review(args, seed)
    if "mined" in args.arms:
        mine(args)
    if "followed" in args.arms:
        prepare(args, "followed", [args.work_dir / "hidden.csv"], "--whole-volumes")
    for arm in args.arms:
        for seed in args.seeds:
            train_and_test(args, arm, seed)
    write_json(args.work_dir / "summary.json", summary(args), indent=1)
    print(f"Written to {args.work_dir / 'summary.json'}")
    return 0


def mmglan(args: argparse.Namespace, *words: object, log: str) -> None:
    """Run a command of mmglan; its output goes to a log."""
    print("mmglan", *words[:1], log, flush=True)
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(PACKAGES), environment.get("PYTHONPATH")])
    )
    run_command([*MMGLAN, *map(str, words)], args.work_dir / "logs" / log, environment)


def prepare_all(args: argparse.Namespace) -> None:
    """Prepare the set with all bookmarks as `mmglan evidence` does; write the split of fold 0."""
    out, split = args.work_dir / "all", args.work_dir / "split.csv"
    if split.is_file():
        return
    lgg.convert(args.source, args.work_dir / "source")
    ids = args.work_dir / "ids_all.csv"
    words = ["--images", args.source / "images", "--masks", args.source / "masks"]
    words += ["--bookmarks", args.work_dir / "source" / "bookmarks.csv", "--folds", 5]
    words += ["--whole-volumes", "--out-dir", out, "--ids", ids, "--quiet"]
    mmglan(args, "prepare", *words, log="prepare_all.log")
    names = {row["volume_id"]: row["volume"] for row in read_rows(ids)}
    rows = []
    for part in ("train", "val", "test"):
        images = json.loads((out / f"annotations/fold0/{part}_whole.json").read_bytes())["images"]
        rows += [(names[name], part) for name in sorted({image["volume_id"] for image in images})]
    write_csv(split, ["volume", "split"], rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def training_scans(args: argparse.Namespace) -> list[str]:
    """Return the file names of the training patients' scans."""
    rows = read_rows(args.work_dir / "split.csv")
    return [row["volume"] for row in rows if row["split"] == "train"]


def hide(args: argparse.Namespace) -> None:
    """Write `hidden.csv`, the bookmarks that are left, and `answers.csv`, those that are hidden."""
    rows = read_rows(args.work_dir / "source" / "bookmarks.csv")
    train = set(training_scans(args))
    candidates = [i for i, row in enumerate(rows) if row["volume"] in train]
    chosen = set(random.Random(0).sample(candidates, round(args.hide * len(candidates))))
    for name, part in (("hidden", False), ("answers", True)):
        kept = [list(row.values()) for i, row in enumerate(rows) if (i in chosen) == part]
        write_csv(args.work_dir / f"{name}.csv", list(rows[0]), kept)


def prepare(args: argparse.Namespace, name: str, tables: Sequence[Path], *more: str) -> None:
    """Prepare an arm's training set; ground truth of training patients is kept from it."""
    if (args.work_dir / name / "report.json").is_file():
        return
    words = ["--images", args.source / "images", "--bookmarks", *tables]
    words += ["--split-file", args.work_dir / "split.csv", "--out-dir", args.work_dir / name]
    if len(tables) > 1:
        words += ["--bookmark-ids", args.work_dir / "ids_train.csv"]
    mmglan(args, "prepare", *words, *more, "--quiet", log=f"prepare_{name}.log")


def arm_of(args: argparse.Namespace, name: str, seed: int) -> Arm:
    """Return what an arm trains on."""
    hidden = args.work_dir / "hidden"
    if name == "hidden":
        return Arm(hidden)
    start: dict[str, object] = {"load_from": checkpoint_of(run_dir(args, "hidden", seed))}
    if name == "continued":
        return Arm(hidden, settings=start)
    if name == "all":
        return Arm(args.work_dir / name, "fold0", start)
    if name == "reviewed":
        return Arm(args.work_dir / f"reviewed_seed{seed}", settings=start, lines=SAMPLER)
    if name == "mined":
        return Arm(args.work_dir / name, settings=start, lines=SAMPLER)
    if name == "unmarked":
        score = {"model.train_cfg.rcnn.assigner.unmarked_score": UNMARKED_SCORE}
        return Arm(hidden, settings=start | score)
    if name == "followed":
        return Arm(args.work_dir / name, settings=start | {"max_epochs": 1}, lines=FOLLOW)
    raise ValueError(f"Expected an arm of {', '.join(ARMS)} but got {name}.")


def run_dir(args: argparse.Namespace, name: str, seed: int) -> Path:
    """Return the folder of a training."""
    return args.work_dir / "runs" / f"{name}_seed{seed}"


def train_and_test(args: argparse.Namespace, name: str, seed: int) -> None:
    """Train an arm and test it on all slices of the test patients."""
    arm, out, config = arm_of(args, name, seed), run_dir(args, name, seed), find_config(args.config)
    if is_finished(out):
        return
    os.environ.update(MMGLAN_SEED=str(seed), MMGLAN_DATA=f"{arm.data}/", MMGLAN_FOLD=arm.fold)
    content = json.loads((arm.data / "annotations" / arm.fold / "train.json").read_bytes())
    lesions = [entry for entry in content["annotations"] if not entry["iscrowd"]]
    slices = float(len({entry["image_id"] for entry in lesions}))
    if arm.lines == SAMPLER:
        slices /= 1 - LESION_FREE
    epochs = max(1, round(args.steps / ceil(slices / BATCH)))
    words = train_command(
        own_config(args, config, name, arm), out, 1, {"max_epochs": epochs, **arm.settings}
    )
    mmglan(args, *words[len(MMGLAN) :], log=f"train_{out.name}.log")
    os.environ.update(MMGLAN_DATA=f"{args.work_dir / 'all'}/", MMGLAN_FOLD="fold0")
    words = run_test_command(config, checkpoint_of(out), out, 1)[len(MMGLAN) :]
    mmglan(args, *words, log=f"test_{out.name}.log")


def own_config(args: argparse.Namespace, base: Path, name: str, arm: Arm) -> Path:
    """Write the config of an arm, if it has lines of its own."""
    if not arm.lines:
        return base
    path = args.work_dir / f"{base.stem}_{name}.py"
    write_text(path, f"_base_ = {str(base.resolve())!r}\n{arm.lines}")
    return path


def found_dir(args: argparse.Namespace, seed: int) -> Path:
    """Return the folder of what the model of an arm found in the training patients' scans."""
    return args.work_dir / "found" / f"seed{seed}"


def find(args: argparse.Namespace, seed: int) -> None:
    """Run the model that was trained on what is left on the scans of the training patients."""
    scans = [args.source / "images" / name for name in training_scans(args)]
    if len(list(found_dir(args, seed).glob("*/findings.json"))) == len(scans):
        return
    words = [find_config(args.config), checkpoint_of(run_dir(args, "hidden", seed)), *scans]
    words += ["--out-dir", found_dir(args, seed), "--formats", "json", "--quiet"]
    words += ["--threshold", args.threshold, "--ids", args.work_dir / "ids_train.csv"]
    mmglan(args, "infer", *words, log=f"infer_seed{seed}.log")


@lru_cache(maxsize=2)
def scan_and_lesions(source: Path, name: str) -> tuple[Volume, np.ndarray]:
    """Read a scan and its axial label map `(Z, Y, X)`."""
    mask = source / "masks" / (name.removesuffix(".nii.gz") + lgg.MASK_ENDING)
    return read_volume(source / "images" / name), read_label_volume(mask).array


def scan_names(args: argparse.Namespace) -> dict[str, str]:
    """Return file names of the training scans by pseudonym."""
    rows = read_rows(args.work_dir / "ids_train.csv")
    return {row["volume_id"]: Path(row["volume"]).name for row in rows}


def worklist(args: argparse.Namespace, found: Iterable[Path], out: Path) -> list[dict[str, str]]:
    """Let `mmglan mine` list what some models found away from the bookmarks."""
    words = [*found, "--out", out]
    words += ["--bookmarks", args.work_dir / "hidden.csv"]
    words += ["--findings-ids", args.work_dir / "ids_train.csv"]
    mmglan(args, "mine", *words, log=f"{out.stem}.log")
    return read_rows(out)


def true_lesion(args: argparse.Namespace, row: Mapping[str, str]) -> tuple[str, int, int, Volume]:
    """Say which lesion of the masks a candidate's box touches on its slice.

    Returns:
        File name, label (0: none), slice, and the scan.
    """
    name = scan_names(args)[row["volume"]]
    volume, labels = scan_and_lesions(args.source, name)
    points = np.array([float(row[c]) for c in MM_COLUMNS]).reshape(4, 3)
    index = volume.from_patient_mm(points)
    z = round(float(index[:, 2].mean()))
    low, high = np.floor(index[:, :2].min(axis=0)), np.ceil(index[:, :2].max(axis=0))
    (x0, y0), (x1, y1) = np.maximum(low, 0).astype(int), high.astype(int) + 1
    touched = Counter(labels[z, y0:y1, x0:x1].ravel().tolist())
    del touched[0]
    return name, max(touched, key=touched.get, default=0), z, volume


def answer(args: argparse.Namespace, row: dict[str, str]) -> dict[str, str]:
    """Answer a row of the worklist as a reader who knows the masks: no lesion, or its cross."""
    name, label, z, volume = true_lesion(args, row)
    if not label:
        return row | {"status": "not-a-lesion"}
    lesion = np.where(scan_and_lesions(args.source, name)[1][z : z + 1] == label, label, 0)
    spacing = volume.spacing_mm[:2]
    drawn = list(key_slice_bookmarks(lesion, f"{name}#{z}", spacing_xy=spacing))
    if not drawn:  # too small to measure
        return row | {"status": "ignore"}
    points: Bookmark = drawn[0][1]
    mm = volume.to_patient_mm(np.column_stack([points.points(), np.full(4, float(z))]))
    return row | dict(zip(MM_COLUMNS, mm.ravel().tolist(), strict=True)) | {"status": "lesion"}


def review(args: argparse.Namespace, seed: int) -> None:
    """Let the oracle answer the first rows of the worklist, and prepare the set again."""
    if is_finished(run_dir(args, "reviewed", seed)):
        return
    out = args.work_dir / f"review_seed{seed}.csv"
    rows = worklist(args, [found_dir(args, seed)], args.work_dir / f"worklist_seed{seed}.csv")
    answers = [answer(args, row) for row in rows[: args.budget]]
    write_csv(out, list(rows[0]), [list(row.values()) for row in answers])
    record = Counter(row["status"] for row in answers) | {"worklist": len(rows)}
    record["hidden_lesions_found"] = len(hidden_lesions(args) & lesions_of(args, answers))
    write_json(out.with_suffix(".json"), record)
    prepare(args, f"reviewed_seed{seed}", [args.work_dir / "hidden.csv", out])


def lesions_of(args: argparse.Namespace, rows: Iterable[Mapping]) -> set[tuple[str, int]]:
    """Return which lesions of the masks the rows with the status lesion are of."""
    found = {true_lesion(args, row)[:2] for row in rows if row["status"] == "lesion"}
    return {entry for entry in found if entry[1]}


def hidden_lesions(args: argparse.Namespace) -> set[tuple[str, int]]:
    """Return file name and label of the lesions whose bookmarks are hidden."""
    found = set()
    for row in read_rows(args.work_dir / "answers.csv"):
        _, labels = scan_and_lesions(args.source, row["volume"])
        points = np.array([float(row[c]) for c in PIXEL_COLUMNS]).reshape(4, 2)
        (x0, y0), (x1, y1) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
        inside = labels[int(row["slice"]), int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
        found.add((row["volume"], Counter(inside[inside > 0].tolist()).most_common(1)[0][0]))
    return found


def mine(args: argparse.Namespace) -> None:
    """Add what the models of all seeds find again; count how much of it is right."""
    out = args.work_dir / "mined.csv"
    if (args.work_dir / "mined" / "report.json").is_file():
        return
    found = [found_dir(args, seed) for seed in args.seeds]
    rows = worklist(args, found, out)
    taken = [row for row in rows if row["status"] == "lesion"]
    right = sum(true_lesion(args, row)[1] > 0 for row in taken)
    hidden = hidden_lesions(args)
    record = {
        "models": len(found),
        "candidates": len(rows),
        "taken_for_lesions": len(taken),
        "of_these_right": right,
        "hidden_lesions": len(hidden),
        "hidden_lesions_found": len(hidden & lesions_of(args, taken)),
    }
    write_json(args.work_dir / "mining.json", record)
    prepare(args, "mined", [args.work_dir / "hidden.csv", out])


def detections(args: argparse.Namespace, name: str, seed: int) -> list[DetectionSet]:
    """Read what an arm found in the test patients' scans: boxes on slices and in volumes.

    Scores are those of the test: where its config averages them over slices, they are averages.
    """
    folder = args.work_dir / "all" / "annotations" / "fold0"
    test_set = read_test_set(folder / "test_whole.json", volumes=folder / "volumes_test.json")
    results = run_dir(args, name, seed) / "results.bbox.json"
    return load_detection_sets(test_set, results, get_protocol("deeplesion"), quiet=True)


def summary(args: argparse.Namespace) -> dict:
    """Compare the arms: means over the seeds, with intervals and p-values of patients."""
    record: dict = {"seeds": list(args.seeds), "runs": {}, "pairs": {}}
    for arm in args.arms:
        for seed in args.seeds:
            values = json.loads((run_dir(args, arm, seed) / "results.metrics.json").read_bytes())
            chosen = [row for row in values["values"] if row["name"] in PRIMARY]
            record["runs"][f"{arm}, seed {seed}"] = {row["name"]: row["value"] for row in chosen}
    for one, other in PAIRS:
        if one in args.arms and other in args.arms:
            record["pairs"][f"{one} - {other}"] = difference(args, one, other)
    for path in sorted(args.work_dir.glob("review_seed*.json")):
        record[path.stem] = json.loads(path.read_bytes())
    if "mined" in args.arms:
        record["mining"] = json.loads((args.work_dir / "mining.json").read_bytes())
    return record


def difference(args: argparse.Namespace, one: str, other: str) -> dict:
    """Compare two arms over all seeds in the metrics that were named beforehand."""
    sides = [[detections(args, arm, seed) for seed in args.seeds] for arm in (one, other)]
    found = {}
    for first, second in zip(*(zip(*runs, strict=True) for runs in sides), strict=True):
        compared = compare_detections(
            first, second, bootstrap=args.bootstrap, permutations=args.bootstrap
        )
        found |= {row["name"]: row for row in compared.to_json()["differences"]}
    return {name: found[name] for name in PRIMARY}


if __name__ == "__main__":
    raise SystemExit(main())
