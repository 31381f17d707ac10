"""Which slice belongs to which split of a data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.dataset import coco_entries
from data_prep.dataset.collect import NO_LESION, Dataset
from data_prep.dataset.splits.split import (
    SPLITS,
    check_leakage,
    slice_blocks,
    split_folds,
    split_patients,
)
from data_prep.errors import DataError

ONE_PATIENT = (
    "One patient only: split by contiguous blocks of slices. Neighbouring slices may show the same"
    " lesion, so scores on this split say that the pipeline works, not how a detector does on new"
    " patients."
)


@dataclass(frozen=True)
class SplitOptions:
    """How to split.

    Attributes:
        fractions: Shares of train, val and test.
        folds: Number of folds for cross-validation, or None.
        seed: Of the random order.
        given: `patient_id` → split where a file says so (then nothing is random), or None.
    """

    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
    folds: int | None = None
    seed: int = 0
    given: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Plan:
    """One way to divide a data set.

    Attributes:
        folder: Below `annotations/`; empty, or `fold0/` …
        codes: `(N,)` int8, for each slice of the data set the place of its split in
            `data_prep.dataset.splits.split.SPLITS`, or -1 for none.
        by_patient: False for blocks of slices of one patient.
    """

    folder: str
    codes: np.ndarray
    by_patient: bool = True


def plan_splits(found: Dataset, options: SplitOptions) -> tuple[list[Plan], list[str]]:
    """Decide for every slice which split it belongs to.

    Returns:
        One plan, or one per fold; and notes for the report.

    Raises:
        DataError: The split that was asked for cannot be made of these patients, or the same
            slice is in two of the splits.
    """
    plans, notes = _plans(found, options)
    for plan in plans:
        _check_copies(found, plan)
    return plans, notes


def _plans(found: Dataset, options: SplitOptions) -> tuple[list[Plan], list[str]]:
    patients = found.strata
    if options.given is not None:
        missing = sorted(set(patients) - set(options.given))
        if missing:
            raise DataError(
                f"Expected a split for every patient but got none for {len(missing)} of them, such"
                f" as {missing[0]} (--ids FILE tells its name). List them all, or leave the given"
                " split out."
            )
        return [Plan("", _by_patient(found, options.given))], ["Split as given."]
    if len(patients) == 1:
        if options.folds:
            raise DataError(
                f"Expected at least {options.folds} patients for {options.folds} folds but got 1."
                " Use --split."
            )
        return [Plan("", _in_blocks(found, options.fractions), by_patient=False)], [ONE_PATIENT]
    if options.folds:
        try:
            folds = split_folds(patients, options.folds, options.seed)
        except ValueError as error:
            raise DataError(f"{error} Choose another number of --folds.") from None
        plans = [Plan(f"fold{i}/", _by_patient(found, fold)) for i, fold in enumerate(folds)]
        return plans, [f"Split by patient into {options.folds} folds, seed {options.seed}."]
    # Dealt out apart, so that every split gets lesions, and volumes without if there are some.
    marked = {p: stratum for p, stratum in patients.items() if stratum[1] != NO_LESION}
    chosen = split_patients(marked, options.fractions, options.seed)
    empty = {p: stratum for p, stratum in patients.items() if p not in marked}
    notes = [f"Split by patient, seed {options.seed}."]
    for name, share in zip(SPLITS, options.fractions, strict=True):
        if share > 0 and name not in chosen.values():
            notes.append(f"Too few patients with lesions ({len(marked)}): {name} has none.")
    chosen |= split_patients(empty, options.fractions, options.seed)
    return [Plan("", _by_patient(found, chosen))], notes


def _by_patient(found: Dataset, split_of: Mapping[str, str]) -> np.ndarray:
    # A patient without a listed slice is in no split, nor are its extra slices.
    codes = [
        SPLITS.index(split_of[patient]) if patient in split_of else -1
        for _, patient in found.volumes
    ]
    return np.array(codes, np.int8)[found.slices["volume"]]


def _in_blocks(found: Dataset, fractions: Sequence[float]) -> np.ndarray:
    blocks = slice_blocks(list(enumerate(found.slices["lesions"] > 0)), fractions)
    return np.array([SPLITS.index(blocks[row]) for row in range(len(blocks))], np.int8)


def _check_copies(found: Dataset, plan: Plan) -> None:
    """Raise if the same slice is in two splits; patients are not divided to begin with."""
    if not plan.by_patient:
        return
    rows = np.flatnonzero((plan.codes >= 0) & (found.slices["digest"] != b""))
    digests, group = np.unique(found.slices["digest"][rows], return_inverse=True)
    seen = np.zeros((len(digests), len(SPLITS)), bool)
    seen[group, plan.codes[rows]] = True
    shared = rows[(seen.sum(axis=1) > 1)[group]]
    images: dict[str, list] = defaultdict(list)
    for row in shared.tolist():
        volume_id, _ = found.volumes[found.slices["volume"][row]]
        name = coco_entries.file_name(volume_id, int(found.slices["index"][row]))
        image = {"file_name": name, "digest": found.slices["digest"][row].decode()}
        images[SPLITS[plan.codes[row]]].append(image)
    check_leakage(images)
