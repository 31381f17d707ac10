"""The search for a baseline's loss weights: what is searched, in which order, and its result."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.atomic_files import write_json
from mmglan.experiments.loss_weights import loss_weights, matching_settings
from mmglan.shipped_files import shipped_folder

VALUES = (1, 3, 5, 7, 9)  # the paper's
BEST_NAME = "best.json"


def baselines() -> dict[str, Path]:
    """Return the configs of the baselines by the detector's name."""
    paths = sorted((shipped_folder("configs") / "baselines").glob("*_lesions.py"))
    return {path.stem.split("_")[0]: path for path in paths if "_wo-" not in path.stem}


def weight_names(model: Any) -> list[str]:
    """Name the loss weights of a model; `*` takes the stages of a cascade together."""
    names = (re.sub(r"\.\d+\.", ".*.", path) for path, _ in loss_weights(model))
    return list(dict.fromkeys(names))


def stages(
    names: Sequence[str], best: dict[str, Any], full_grid: bool
) -> Iterator[dict[str, list[Any]]]:
    """Yield the grids to go through, one after the other.

    Args:
        names: Of the weights.
        best: Best point so far, 1 for each weight at first; the caller updates it between two
            grids.
        full_grid: One grid of all combinations; else one weight after the other, the others at
            their best values so far.
    """
    if full_grid:
        yield {name: list(VALUES) for name in names}
        return
    for searched in names:
        yield {name: list(VALUES) if name == searched else [best[name]] for name in names}


def write_best(folder: Path, model: Any, row: Mapping[str, Any], names: Sequence[str]) -> None:
    """Write the best point of a search: its score, and its settings for `--cfg-options`."""
    settings = {setting: row[name] for name in names for setting in matching_settings(model, name)}
    write_json(folder / BEST_NAME, {"score": row["score"], "settings": settings})


def read_best(folder: Path) -> dict[str, Any] | None:
    """Return the settings of the best point; None where no search was finished."""
    try:
        return json.loads((folder / BEST_NAME).read_bytes())["settings"]
    except FileNotFoundError:
        return None
