"""Plan of the evidence runs, and the results of folds as those of one test set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.atomic_files import write_json

BASELINE = "mask-rcnn_mnv2_fpn_20e_lgg-key"
AUGMENTED_BASELINE = "mask-rcnn_mnv2_fpn_aug-20e_lgg-key"
AUGMENTED = "glan_mnv2_fpn_aug-20e_lgg-key"
RECOMMENDED = "glan_mnv2_fpn_recommended_20e_lgg-key"
SELF_TRAINED_BASELINE = "mask-rcnn_mnv2_fpn_self-training_20e_lgg-key"
MEAN_ONE = "glan_mnv2_fpn_mean-one-wo-attention_20e_lgg-key"
ROWS = (
    "faster-rcnn_mnv2_fpn_20e_lgg-key",
    "cascade-mask-rcnn_mnv2_fpn_20e_lgg-key",
    "mask-rcnn_mnv2_fpn_wo-pseudo-mask_20e_lgg-key",
    BASELINE,
    "glan_mnv2_fpn_20e_lgg-key",
    "glan_mnv2_fpn_wo-pseudo-mask_20e_lgg-key",
    "glan_mnv2_fpn_wo-attention_20e_lgg-key",
    "glan_mnv2_fpn_wo-uncertainty_20e_lgg-key",
    AUGMENTED_BASELINE,
    AUGMENTED,
    MEAN_ONE,
    SELF_TRAINED_BASELINE,
    RECOMMENDED,
)
# Named before any run: means of FROC at 1/8 to 8 false positives per image or volume.
PRIMARY = ("bbox_FROC25_mean", "bbox_AP50", "bbox3d_FROC_IoBB30_mean")


@dataclass(frozen=True)
class Scale:
    """How much is run.

    Attributes:
        rows: Stems of configs.
        folds: Of `prepare --folds`.
        tested_folds: How many of them are tested.
        seeds: Of the training.
        small: Train small forms for one epoch on phantoms, to see that all steps work.
        phantoms: Size of the benchmark `phantom` (`data_prep.phantoms.context`), instead of a set
            of patients.
    """

    rows: Sequence[str] = ROWS
    folds: int = 5
    tested_folds: int = 5
    seeds: Sequence[int] = (0,)
    small: bool = False
    phantoms: str | None = None


SCALES = {
    "tiny": Scale((BASELINE, MEAN_ONE), folds=3, tested_folds=2, small=True),
    "cpu": Scale(),
    "gpu": Scale(seeds=(0, 1, 2)),
    # Attention on and off, with and without uncertainty loss.
    "phantom": Scale(
        (
            BASELINE,
            "glan_mnv2_fpn_wo-uncertainty_20e_lgg-key",
            "glan_mnv2_fpn_wo-attention_20e_lgg-key",
            "glan_mnv2_fpn_20e_lgg-key",
        ),
        folds=3,
        tested_folds=3,
        seeds=(0, 1),
        phantoms="demo",
    ),
}


def run_folder(work_dir: Path, fold: int, seed: int) -> Path:
    """Folder of the runs of one fold and seed."""
    return work_dir / "runs" / f"fold{fold}_seed{seed}"


def pool_ground_truth(data_root: Path, folds: Iterable[int], out: Path) -> None:
    """Write the test slices and volumes of several folds as one test set.

    Args:
        data_root: As `prepare --folds … --whole-volumes --masks …` writes it. There a slice has
            the same id in all files, and no patient is tested in two folds.
        folds: Which.
        out: Folder for `test_whole.json` and `volumes_test.json`.
    """
    for name in ("test_whole.json", "volumes_test.json"):
        pooled: dict = {}
        for fold in folds:
            content = json.loads((data_root / f"annotations/fold{fold}" / name).read_bytes())
            for key, value in content.items():
                if key in ("images", "annotations", "volumes", "lesions"):
                    pooled.setdefault(key, []).extend(value)
                else:
                    pooled.setdefault(key, value)
        write_json(out / name, pooled)


def pool_results(runs: Iterable[Path], out: Path) -> None:
    """Write the detected boxes of several folds as one result file.

    Args:
        runs: Folders with `results.bbox.json`, one per fold.
        out: The file.
    """
    rows: list = []
    for run in runs:
        rows += json.loads((run / "results.bbox.json").read_bytes())
    write_json(out, rows)
