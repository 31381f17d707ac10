"""Plan of the evidence runs, and the results of folds as those of one test set."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.atomic_files import json_bytes, write_bytes, write_json

BASELINE = "mask-rcnn_mnv2_fpn_20e_lgg-key"
BEST_BASELINE = "cascade-mask-rcnn_mnv2_fpn_20e_lgg-key"  # of those without self-training
AUGMENTED_BASELINE = "mask-rcnn_mnv2_fpn_aug-20e_lgg-key"
AUGMENTED = "glan_mnv2_fpn_aug-20e_lgg-key"
RECOMMENDED = "glan_mnv2_fpn_recommended_20e_lgg-key"
SELF_TRAINED_BASELINE = "mask-rcnn_mnv2_fpn_self-training_20e_lgg-key"
SELF_TRAINED_BEST = "cascade-mask-rcnn_mnv2_fpn_self-training_20e_lgg-key"
MEAN_ONE = "glan_mnv2_fpn_mean-one-wo-attention_20e_lgg-key"
NEAR_BASELINE = "mask-rcnn_mnv2-s8_fpn_20e_context"
NEAR_ATTENTION = "glan_mnv2-s8_fpn_wo-uncertainty_20e_context"
NEAR_HALF = "glan_mnv2-s8_fpn_g050-wo-uncertainty_20e_context"
ROWS = (
    "faster-rcnn_mnv2_fpn_20e_lgg-key",
    BEST_BASELINE,
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
    SELF_TRAINED_BEST,
    RECOMMENDED,
)
EPOCHS = 20  # of the configs; MMGLAN_EPOCHS names others
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
        patients: Numbers of training patients of a learning curve; None for all of the fold's.
        every_slice: Bookmarks on every slice of a lesion instead of one per lesion.
        epochs: Passes over the training slices; None for the config's.
        phantoms: Size of the benchmark `phantom` (`data_prep.phantoms.context`), instead of a set
            of patients.
    """

    rows: Sequence[str] = ROWS
    folds: int = 5
    tested_folds: int = 5
    seeds: Sequence[int] = (0,)
    small: bool = False
    patients: Sequence[int | None] = (None,)
    every_slice: bool = False
    epochs: int | None = None
    phantoms: str | None = None


SCALES = {
    "tiny": Scale((BASELINE, MEAN_ONE), folds=3, tested_folds=2, small=True),
    "cpu": Scale(),
    "gpu": Scale(seeds=(0, 1, 2)),
    # As many steps with few patients as with all; 88 are those of training and validation.
    "curve": Scale((BASELINE, MEAN_ONE), patients=(10, 20, 40, 88)),
    "full": Scale((BASELINE, MEAN_ONE), every_slice=True, epochs=4),
    # The rows of Table 2 and three baselines.
    "phantom": Scale(
        ROWS[:8],
        folds=3,
        tested_folds=3,
        seeds=(0, 1),
        phantoms="demo",
    ),
    # As many patients and bookmarks as in the paper; attention on and off, one of five folds, with
    # a backbone that sees the surroundings of a node but not the whole image.
    "phantom-paper": Scale(
        (NEAR_BASELINE, NEAR_ATTENTION, NEAR_HALF), tested_folds=1, epochs=10, phantoms="paper"
    ),
}


def run_folder(work_dir: Path, fold: int, seed: int, patients: int | None = None) -> Path:
    """Folder of the runs of one fold and seed, and number of training patients."""
    return work_dir / "runs" / (f"fold{fold}_seed{seed}" + _suffix(patients))


def run_name(row: str, seed: int, patients: int | None = None, tta: bool = False) -> str:
    """Name a row's results over all folds."""
    return f"{row}_seed{seed}" + _suffix(patients) + ("_tta" if tta else "")


def _suffix(patients: int | None) -> str:
    return "" if patients is None else f"_patients{patients}"


def write_fold_of(data_root: Path, fold: int, patients: int) -> tuple[str, float]:
    """Write a fold with fewer training patients, or with those of validation beside all of them.

    The patients are the first in an order that depends on their pseudonyms only: of two numbers the
    smaller set is part of the larger one. Those of validation come last, and stay in its files.

    Args:
        data_root: A prepared data set with folds.
        fold: Which.
        patients: How many to train on.

    Returns:
        The folder below `annotations/`, and by how much its training slices are fewer (above 1)
        or more than those of the fold.

    Raises:
        ValueError: There are not so many.
    """
    source = data_root / "annotations" / f"fold{fold}"
    images = {s: _read(source / f"{s}.json")["images"] for s in ("train", "val")}
    order = {s: sorted({i["patient_id"] for i in images[s]}, key=_draw) for s in images}
    if patients > (there := len(order["train"]) + len(order["val"])):
        raise ValueError(
            f"Expected at most {there} training patients (with those of validation) but got"
            f" {patients}. Name smaller numbers with --patients."
        )
    chosen = {*[*order["train"], *order["val"]][:patients]}
    name = source.name + _suffix(patients)
    for path in sorted(source.glob("*.json")):
        content = path.read_bytes()
        if "train" in path.stem:
            parts = [path, path.with_name(path.name.replace("train", "val"))]
            content = json_bytes(_of_patients([_read(p) for p in parts if p.is_file()], chosen))
        write_bytes(source.with_name(name) / path.name, content)
    n_slices = sum(i["patient_id"] in chosen for s in images for i in images[s])
    return name, len(images["train"]) / n_slices


def _read(path: Path) -> dict:
    return json.loads(path.read_bytes())


def _draw(patient: str) -> int:
    return zlib.crc32(patient.encode())


def _of_patients(contents: Sequence[dict], chosen: Collection[str]) -> dict:
    """Join annotation files, or lists of volumes, and keep what is of some patients."""
    joined = dict(contents[0])
    for key, entries, id_name in (
        ("images", "annotations", "image_id"),
        ("volumes", "lesions", "volume_id"),
    ):
        if key not in joined:
            continue
        kept = [e for c in contents for e in c[key] if e["patient_id"] in chosen]
        ids = {e["id" if key == "images" else id_name] for e in kept}
        joined[key] = kept
        joined[entries] = [e for c in contents for e in c[entries] if e[id_name] in ids]
    return joined


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
