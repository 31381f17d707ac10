"""What a finished run leaves in its work directory, read without running any of it."""

from __future__ import annotations

import ast
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from data_prep.json_files import load_json
from mmglan.evaluation.evaluation_record import Evaluation, read_evaluation

METRICS_NAME = "results.metrics.json"
# Loss weights that a sweep found best, in the folder of a row that was trained with them.
WEIGHTS_NAME = "weights.json"
# Folder in which `run-table --volumes-root` puts the tests on the 3D volume test set.
VOLUMES_FOLDER = "volumes"
# Folder in which `run-table --tta` puts the tests on mirrored slices.
TTA_FOLDER = "tta"
# Where the 3D metrics of `mmglan evaluate` lie beside it.
VOLUMES_SUFFIX = "_volumes.metrics.json"


def _literal(node: ast.expr) -> Any:
    """Evaluate a literal, `dict(...)` calls and lists of both; else ValueError."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if node.args:
            raise ValueError("dict() with positional arguments")
        return {word.arg: _literal(word.value) for word in node.keywords if word.arg}
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise ValueError("a dict with ** in it")
        return {_literal(k): _literal(v) for k, v in zip(node.keys, node.values, strict=True) if k}
    if isinstance(node, ast.List):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(item) for item in node.elts)
    return ast.literal_eval(node)


def read_dumped_config(path: Path) -> dict[str, Any]:
    """Read the variables of a config as MMEngine dumps it, without executing the file.

    Assignments that are not literals (none in a dumped file) are left out.

    Raises:
        ValueError: the file is not Python.
    """
    path = Path(path)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: Expected a dumped config but got {error}.") from error
    config: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                config[statement.targets[0].id] = _literal(statement.value)
            except ValueError:
                continue
    return config


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        folder: the work directory.
        stem: file name of its config without `.py`; this decides the row of a table.
        evaluation: the content of `results.metrics.json`.
        config: top-level variables of the dumped config, `{}` where there is none.
        loss_weights: those that a sweep found best, by their paths; `{}` for those of the config.
    """

    folder: Path
    stem: str
    evaluation: Evaluation
    config: dict[str, Any] = field(default_factory=dict)
    loss_weights: dict[str, float] = field(default_factory=dict)

    @property
    def test_set(self) -> str:
        """`volumes` in a folder of that name: tested on the 3D volume test set; else ''."""
        parent = self.folder.resolve().parent.name
        return parent if parent == VOLUMES_FOLDER else ""


def score_at(evaluation: Evaluation, fp: float) -> float:
    """Return the score threshold at an operating point of the first FROC curve of boxes.

    Args:
        evaluation: Of the run.
        fp: False positives per image; one of the operating points.

    Returns:
        float: The score; infinity where no score keeps the false positives so few.

    Raises:
        ValueError: There is no such operating point.
    """
    curves = [curve for curve in evaluation.curves if curve.kind == "bbox"]
    points = curves[0].operating_points if curves else ()
    for point in points:
        if point.fp == fp:
            return math.inf if point.score is None else point.score
    raise ValueError(
        f"Expected an operating point at {fp} false positives but got those at "
        f"{[point.fp for point in points]}. Choose one of them."
    )


def config_file(folder: Path) -> Path | None:
    """Find the config that MMEngine dumped into a work directory, the newest of several."""
    found = sorted(Path(folder).glob("*.py"), key=lambda p: (p.stat().st_mtime_ns, p.name))
    return found[-1] if found else None


def read_run(folder: Path, *, metrics_name: str = METRICS_NAME) -> Run:
    """Read a work directory.

    Args:
        folder: as written by `mmglan train` and `mmglan test`.
        metrics_name: the metrics file in it. 3D metrics are taken from
            `results_volumes.metrics.json` where that lies beside it.

    Raises:
        FileNotFoundError: no metrics file.
        ValueError: a broken metrics file, config or file of weights.
    """
    folder = Path(folder)
    path = folder / metrics_name
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected {metrics_name} in {folder} but got none. Run mmglan test on it first."
        )
    evaluation = read_evaluation(path)
    volumes = path.with_name(metrics_name.removesuffix(".metrics.json") + VOLUMES_SUFFIX)
    if volumes.is_file():
        evaluation = evaluation.with_volumes(read_evaluation(volumes))
    dumped = config_file(folder)
    config = read_dumped_config(dumped) if dumped else {}
    stem = dumped.stem if dumped else folder.resolve().name
    return Run(folder, stem, evaluation, config, _swept_weights(folder))


def _swept_weights(folder: Path) -> dict[str, float]:
    """Read the loss weights that a sweep found, if the run was trained with such."""
    trained = folder.resolve()
    if trained.parent.name == VOLUMES_FOLDER:  # only tested there
        trained = trained.parent.parent / trained.name
    path = trained / WEIGHTS_NAME
    if not path.is_file():
        return {}
    try:
        return msgspec.convert(load_json(path), dict[str, float])
    except ValueError as error:
        raise ValueError(
            f"{path.parent.name}/{path.name}: Expected loss weights by their paths but got a file "
            f"with a fault: {error}. Train the row again."
        ) from error


def find_runs(folders: list[Path], *, metrics_name: str = METRICS_NAME) -> list[Run]:
    """Find all runs in the given folders and below them, sorted by path."""
    found: dict[Path, Run] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(f"Expected a work directory but got nothing at {folder}.")
        for path in sorted(folder.rglob(metrics_name)):
            found.setdefault(path.parent.resolve(), read_run(path.parent, metrics_name=path.name))
    return [found[key] for key in sorted(found)]


def config_test_set(run: Run, annotations: Path | None, images: Path | None) -> tuple[Path, Path]:
    """Return the annotation file and image folder of a run's test set.

    Args:
        run: the run.
        annotations: what the user named, which counts more than the config.
        images: likewise.

    Raises:
        ValueError: neither the user nor the config names one, or the config, which comes with the
            run, names files outside of the current folder, the run and `$MMGLAN_DATA`.
    """
    dataset = run.config.get("test_dataloader", {}).get("dataset", {})
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    root = Path(dataset.get("data_root") or "")
    if annotations is None and dataset.get("ann_file"):
        annotations = _known(run, root / dataset["ann_file"])
    if images is None and dataset.get("data_prefix", {}).get("img") is not None:
        images = _known(run, root / dataset["data_prefix"]["img"])
    if annotations is None or images is None:
        raise ValueError(
            f"Expected the config of run {run.stem} to name its test set but got none. "
            "Give --gt and --images."
        )
    return annotations, images


def _known(run: Run, path: Path) -> Path:
    """Return a path of a config if it lies where the user works."""
    places = [Path.cwd(), run.folder, Path(os.environ.get("MMGLAN_DATA") or ".")]
    if any(Path(os.path.abspath(path)).is_relative_to(os.path.abspath(p)) for p in places):
        return path
    raise ValueError(
        f"Expected the config of run {run.stem} to name a test set in the current folder, in the "
        "run or in $MMGLAN_DATA but got another place. Give --gt and --images."
    )
