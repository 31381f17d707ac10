"""Go through a grid of settings of a config, with as many workers as you start.

The paper's search for a baseline: the weight of each loss from {1, 3, 5, 7, 9}.

    mmglan sweep mask-rcnn_r50_fpn_160e_lesions --list
    mmglan sweep mask-rcnn_r50_fpn_160e_lesions \\
        --grid model.rpn_head.loss_cls.loss_weight=1,3,5,7,9 \\
        --grid model.roi_head.mask_head.loss_mask.loss_weight=1,3,5,7,9

In a cascade `*` takes the stages together: model.roi_head.bbox_head.*.loss_cls.loss_weight.

All weights of a baseline, one after the other (each at the best values of those before; the first
run has 1 for all) or with --full-grid in all combinations:

    mmglan sweep --baseline mask-rcnn

Its best point is written to <work dir>/best.json, which `mmglan run-table --weights best` takes.

Start the same command again, on this machine or on another one that reaches --storage, and the
workers share the points; start it after an interruption, and it goes on where it stopped. Every
point is trained in a directory of its own and scored by its best validation result; one that two
workers are given at the same moment waits there for the first of them.
Results: <work dir>/results.csv.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from mmengine.config import Config
from sqlalchemy.exc import SQLAlchemyError

from data_prep.atomic_files import csv_text, write_text
from data_prep.command_line import at_least, command_parser, reports_errors
from mmglan.commands.run_table import write_small_config
from mmglan.experiments.child_run import run_command, validation_scores
from mmglan.experiments.grid import (
    grid_points,
    is_taken_over,
    key_of,
    open_study,
    trials_by_point,
    work_through,
)
from mmglan.experiments.loss_weights import loss_weights, matching_settings
from mmglan.experiments.run_directory import LOCK_NAME, holder_name, is_held
from mmglan.experiments.weight_search import baselines, stages, weight_names, write_best
from mmglan.shipped_files import find_config, shipped_folder

LONGEST_NAME = 200  # bytes; file systems take 255
TRAIN = shipped_folder("tools") / "train.py"


def parse_axis(text: str) -> tuple[str, list[Any]]:
    """Read `setting=value,value,…`; values are Python literals or bare words."""
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise argparse.ArgumentTypeError(f"expected SETTING=VALUE,VALUE,... but got {text!r}")

    def literal(word: str) -> Any:
        try:
            return ast.literal_eval(word)
        except (SyntaxError, ValueError):
            return word

    found = [literal(word) for word in values.split(",")]
    if any(value in found[:place] for place, value in enumerate(found)):
        raise argparse.ArgumentTypeError(f"expected each value once but got {text!r}")
    return name, found


def run_directory(work_dir: Path, point: dict[str, Any]) -> Path:
    """Return the directory of a point: its settings and their values.

    Whole names, or the runs of two grids (RPN and RoI both have a `loss_cls`) would share one and
    go on from each other's checkpoints. A name too long for a file system ends in a hash instead.
    """
    words = [f"{name.removeprefix('model.')}={value}" for name, value in point.items()]
    name = "_".join(words).replace("/", "-").replace("*", "all")
    if len(name.encode()) > LONGEST_NAME:
        name = f"{name[:100]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return work_dir / name


def without_password(storage: str) -> str:
    """Return the address of a database as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", storage)


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("config", nargs="?", help="a file, or a name that mmglan configs lists")
    parser.add_argument("--baseline", choices=baselines(), help="search all of its loss weights")
    parser.add_argument(
        "--full-grid", action="store_true", help="with --baseline: all combinations"
    )
    parser.add_argument("--small", action="store_true", help="small model, trained from scratch")
    parser.add_argument("--epochs", type=at_least(1), help="length of training with --small")
    parser.add_argument("--data-root", help="prepared data set (default: MMGLAN_DATA or config)")
    parser.add_argument("--list", action="store_true", help="list the loss weights and stop")
    parser.add_argument("--grid", action="append", type=parse_axis, default=[], metavar="S=V,V,..")
    parser.add_argument("--work-dir", type=Path, help="default: work_dirs/sweeps/<config>")
    parser.add_argument("--storage", help="database; default: sqlite in the work directory")
    parser.add_argument("--study", help="name in the database; default: <config>")
    parser.add_argument("--metric", default="lesion/bbox_AP25", help="of the validation split")
    parser.add_argument("--prune", action="store_true", help="stop points below the median")
    parser.add_argument("--retry-failed", action="store_true", help="also points that failed")
    parser.add_argument("--heartbeat", type=at_least(1), default=60, metavar="SECONDS")
    parser.add_argument("--train-args", default="", help="more arguments of train.py, in quotes")
    parser.add_argument("--cfg-options", nargs="+", default=[], help="for every point")
    args = parser.parse_args(arguments)
    names = [name for name, _ in args.grid]
    if twice := {name for name in names if names.count(name) > 1}:
        parser.error(f"expected one --grid per setting but got several of {', '.join(twice)}")
    if (args.config is None) == (args.baseline is None):
        parser.error("expected a config or --baseline, one of them")
    if args.baseline and args.grid:
        parser.error("expected no --grid with --baseline, which names the paper's values")
    if args.full_grid and not args.baseline:
        parser.error("--full-grid goes with --baseline")
    if args.epochs and not args.small:
        parser.error("--epochs shortens small forms only: expected --small beside it")
    args.config = baselines()[args.baseline] if args.baseline else find_config(args.config)
    folder = "work_dirs/sweeps-small" if args.small else "work_dirs/sweeps"
    args.work_dir = args.work_dir or Path(folder) / args.config.stem
    return args


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Work through the grid; 0 if every point of it is done."""
    args = parse_args(arguments)
    if args.list:
        config = Config.fromfile(args.config, import_custom_modules=False)
        for path, value in loss_weights(config.model):
            print(f"{path}={value}")
        return 0
    if not args.grid and not args.baseline:
        raise ValueError("Expected at least one --grid SETTING=VALUE,VALUE,... (see --list)")
    if args.small:
        args.config = write_small_config(args.config.stem, args)
    model = Config.fromfile(args.config, import_custom_modules=False).get("model")
    study = args.study or args.config.stem
    if args.grid:
        rows = search(args, model, dict(args.grid), study)
    else:
        rows = search_weights(args, model, study)
    write_table(rows, args.work_dir / "results.csv")
    return 0 if all(row["state"] in ("COMPLETE", "PRUNED") for row in rows) else 1


def search_weights(args: argparse.Namespace, model: Any, name: str) -> list[dict[str, Any]]:
    """Search all loss weights of a model and write the best point; returns a row per point."""
    names, found = weight_names(model), {}
    best = dict.fromkeys(names, 1)
    for number, axes in enumerate(stages(names, best, args.full_grid)):
        rows = search(args, model, axes, f"{name}-weights-{number}")
        found |= {row["run"]: row for row in rows}
        if rows[0]["score"] is None:
            raise ValueError(
                f"Expected a score of one point at least but all {len(rows)} failed. See train.log"
                f" in {args.work_dir / rows[0]['run']}."
            )
        best.update({name: rows[0][name] for name in names})
    rows = sorted(found.values(), key=lambda row: (row["score"] is None, -(row["score"] or 0)))
    write_best(args.work_dir, model, rows[0], names)
    return rows


def search(
    args: argparse.Namespace, model: Any, axes: dict[str, list[Any]], name: str
) -> list[dict[str, Any]]:
    """Go through one grid with the other workers; returns a row per point, best first."""
    work_dir = args.work_dir
    args.settings = {setting: matching_settings(model, setting) for setting in axes}
    storage = args.storage or f"sqlite:///{work_dir / 'sweep.db'}"
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        study = open_study(
            storage,
            name,
            axes,
            heartbeat_s=args.heartbeat,
            pruner=optuna.pruners.MedianPruner() if args.prune else None,
        )
    except (OSError, ImportError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Expected to open {without_password(storage)} but got: {reason}. Look at --storage, "
            "--work-dir and the driver of the database."
        ) from error
    for key, value in {"axes": axes, "metric": args.metric}.items():
        begun_with = study.user_attrs.get(key, value)
        if begun_with != value:
            raise ValueError(
                f"Expected the {'grid' if key == 'axes' else key} that study "
                f"{study.study_name!r} was begun with, {json.dumps(begun_with)}, but got "
                f"{json.dumps(value)}. Name another --study and --work-dir."
            )
        study.set_user_attr(key, value)

    def run_point(trial: optuna.Trial, point: dict[str, Any]) -> float:
        return train_point(args, trial, point, run_directory(work_dir, point))

    work_through(study, axes, run_point, poll_s=args.heartbeat / 4, retry_failed=args.retry_failed)
    return result_rows(study, axes, work_dir)


def train_point(
    args: argparse.Namespace, trial: optuna.Trial, point: dict[str, Any], run_dir: Path
) -> float:
    """Train one point and return its best validation score."""
    trial.set_user_attr("run", run_dir.name)
    trial.set_user_attr("worker", os.getpid())
    options = list(args.cfg_options)
    for name, value in point.items():
        options += [f"{setting}={value}" for setting in args.settings[name]]
    command = [sys.executable, str(TRAIN), str(args.config), "--work-dir", str(run_dir)]
    if args.data_root:
        options.append(f"data_root={args.data_root.rstrip('/')}/")
    command += ["--resume", *shlex.split(args.train_args), "--cfg-options", *options]

    reported: set[int] = set()

    def taken_over() -> bool:
        return is_taken_over(trial.study, trial.number)

    def hopeless() -> bool:
        scores = validation_scores(run_dir, args.metric)
        for epoch in sorted(scores.keys() - reported):
            trial.report(scores[epoch], epoch)
            reported.add(epoch)
        return trial.should_prune()

    wait_until_free(run_dir, taken_over)
    if not run_command(
        command,
        run_dir / "train.log",
        watch=lambda: taken_over() or (args.prune and hopeless()),
    ):
        raise optuna.TrialPruned
    return best_score(run_dir, args.metric)


def best_score(run_dir: Path, metric: str) -> float:
    """Read the best validation result of a training run.

    Raises:
        RuntimeError: It has none.
    """
    scores = [v for v in validation_scores(run_dir, metric).values() if not math.isnan(v)]
    if not scores:
        raise RuntimeError(
            f"{run_dir}: Expected {metric} in the log but got none, or nan. Look at --metric, at "
            "train_cfg.val_interval, and whether the validation split has lesions."
        )
    return max(scores)


def wait_until_free(run_dir: Path, taken_over: Callable[[], bool], poll_s: float = 2.0) -> None:
    """Wait while another worker trains in a directory.

    It was given the same point, or it counts as dead: stopped or cut off, it ends its training when
    it goes on and sees that its trial was closed.

    Args:
        run_dir: Directory of the point.
        taken_over: Tells whether this worker has lost the point in turn.
        poll_s: Seconds between two looks.

    Raises:
        optuna.TrialPruned: It has.
    """
    told = False
    while is_held(run_dir):
        if taken_over():
            raise optuna.TrialPruned
        if not told:
            print(f"{run_dir}: waiting for {holder_name(run_dir)}, which trains there. If it is ")
            print(f"gone for good, remove {run_dir / LOCK_NAME}.", flush=True)
            told = True
        time.sleep(poll_s)


def result_rows(
    study: optuna.Study, axes: dict[str, list[Any]], work_dir: Path
) -> list[dict[str, Any]]:
    """List one row per point, best first: settings, score, state, runs started, run directory."""
    rows = []
    known = trials_by_point(study)
    for point in grid_points(axes):
        trials = known[key_of(point)]
        last = next((t for t in reversed(trials) if t.state.name != "FAIL"), *trials[-1:] or [None])
        score = None if last is None else last.value
        state = "MISSING" if last is None else last.state.name
        directory = run_directory(work_dir, point).name
        rows.append(
            {**point, "score": score, "state": state, "runs": len(trials)} | {"run": directory}
        )
    return sorted(rows, key=lambda row: (row["score"] is None, -(row["score"] or 0)))


def write_table(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the rows as CSV and print them."""
    text = csv_text(list(rows[0]), [list(row.values()) for row in rows])
    write_text(path, text)
    print(text, end="")
    print(f"Written to {path}")


if __name__ == "__main__":
    sys.exit(main())
