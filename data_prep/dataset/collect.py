"""From the results of the volumes to a data set: what its splits are made of.

Results stay on disk. Of each slice only a row of a table is kept here, so that memory does not
depend on how much is known of the lesions. Image ids are 1 + the row: they follow the order of
volumes and slices, not which worker finished first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_prep.dataset import coco_entries
from data_prep.dataset.split import SPLITS, check_leakage, slice_blocks, split_folds, split_patients
from data_prep.errors import DataError

SIZE_LIMITS_MM = (10.0, 20.0)
NO_LESION = "no lesion"
ONE_PATIENT = (
    "One patient only: split by contiguous blocks of slices. Neighbouring slices may show the same"
    " lesion, so scores on this split say that the pipeline works, not how a detector does on new"
    " patients."
)
# Columns of the table of slices: the volume's place in the list, the slice's index in the volume,
# whether it belongs into the data set (others serve as neighbours or for tests on whole volumes),
# numbers of bookmarks and of true lesions on it, digest of the pixels (empty: of one value only).
SLICE = np.dtype(
    [
        *(("volume", "i4"), ("index", "i4"), ("listed", "?")),
        *(("lesions", "i4"), ("truths", "i4"), ("digest", "S32")),
    ]
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


@dataclass
class Dataset:
    """What a run found, in short.

    Attributes:
        volumes: (volume id, patient id) of each volume that gave slices.
        slices: Table of their slices, see `SLICE`.
        strata: Patient → (most frequent site, size class of the largest short axis).
        sources: How many pseudo masks come from where.
        has_truth: Whether any volume has a voxel mask.
        stored_sizes: Columns, rows and slices of every volume asked for; None if it is unreadable.
        bookmarks: Number of those that could be read.
        errors, remarks: Lines for the user.
    """

    volumes: list[tuple[str, str]] = field(default_factory=list)
    slices: np.ndarray = field(default_factory=lambda: np.zeros(0, SLICE))
    strata: dict[str, tuple[str, str]] = field(default_factory=dict)
    sources: Counter = field(default_factory=Counter)
    has_truth: bool = False
    stored_sizes: list[tuple[int, ...] | None] = field(default_factory=list)
    bookmarks: int = 0
    errors: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def collect(results: Iterable[Mapping[str, Any]]) -> Dataset:
    """Sum up the results of `data_prep.dataset.process_volume`, ordered by volume id."""
    found = Dataset()
    tables = [found.slices]
    sites: dict[str, Counter] = {}
    largest: dict[str, float] = {}
    for result in results:
        size = result.get("stored_size")
        found.stored_sizes.append(None if size is None else tuple(size))
        found.bookmarks += result["n_bookmarks"]
        found.errors += result["errors"]
        found.remarks += result["remarks"]
        if not result["slices"]:
            continue
        patient, truth = result["patient_id"], result["truth"]
        found.has_truth |= truth is not None
        tables.append(_table(result, len(found.volumes)))
        found.volumes.append((result["volume_id"], patient))
        if tables[-1]["listed"].any():
            sites.setdefault(patient, Counter())
        for lesion in result["lesions"]:
            found.sources[lesion["mask_source"]] += 1
            sites[patient][lesion.get("site", "")] += 1
            largest[patient] = max(largest.get(patient, 0.0), lesion["short_axis_mm"])
    found.slices = np.concatenate(tables)
    for patient in sorted(sites):
        counts = sites[patient]
        site = min(counts, key=lambda s: (-counts[s], s)) if counts else ""
        size = size_class(largest[patient]) if counts else NO_LESION
        found.strata[patient] = (site, size)
    return found


def _table(result: Mapping[str, Any], volume: int) -> np.ndarray:
    on_slice = [
        Counter(entry["slice_index"] for entry in entries)
        for entries in (result["lesions"], (result["truth"] or {"slices": ()})["slices"])
    ]
    rows = []
    for entry in result["slices"]:
        z, listed, digest = entry["slice_index"], entry["kind"] != "extra", entry["digest"] or ""
        rows.append((volume, z, listed, on_slice[0][z], on_slice[1][z], digest))
    return np.array(rows, SLICE)


@dataclass(frozen=True)
class Plan:
    """One way to divide a data set.

    Attributes:
        folder: Below `annotations/`; empty, or `fold0/` …
        codes: `(N,)` int8, for each slice of the data set the place of its split in
            `data_prep.dataset.split.SPLITS`, or -1 for none.
        by_patient: False for blocks of slices of one patient.
    """

    folder: str
    codes: np.ndarray
    by_patient: bool = True


def plan_splits(found: Dataset, options: SplitOptions) -> tuple[list[Plan], list[str]]:
    """Decide for every slice which split it belongs to.

    Returns:
        One plan, or one per fold; and remarks for the report.

    Raises:
        DataError: The split that was asked for cannot be made of these patients, or the same
            picture is in two of the splits.
    """
    plans, remarks = _plans(found, options)
    for plan in plans:
        _check_copies(found, plan)
    return plans, remarks


def _plans(found: Dataset, options: SplitOptions) -> tuple[list[Plan], list[str]]:
    patients = found.strata
    if options.given is not None:
        missing = sorted(set(patients) - set(options.given))
        if missing:
            raise DataError(
                f"Expected a split for every patient but got none for {len(missing)} of them, such"
                f" as {missing[0]} (--ids FILE says who that is). List them all, or leave the given"
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
    remarks = [f"Split by patient, seed {options.seed}."]
    for name, share in zip(SPLITS, options.fractions, strict=True):
        if share > 0 and name not in chosen.values():
            remarks.append(f"Too few patients with lesions ({len(marked)}): {name} has none.")
    chosen |= split_patients(empty, options.fractions, options.seed)
    return [Plan("", _by_patient(found, chosen))], remarks


def size_class(short_axis_mm: float) -> str:
    """Class of a lesion by its short axis: below 10 mm, 10 to 20 mm, above."""
    low, high = SIZE_LIMITS_MM
    if short_axis_mm < low:
        return f"< {low:g} mm"
    return f"{low:g}-{high:g} mm" if short_axis_mm <= high else f"> {high:g} mm"


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
    """Raise if the same picture is in two splits; patients are not divided to begin with."""
    if not plan.by_patient:
        return
    rows = np.flatnonzero((plan.codes >= 0) & (found.slices["digest"] != b""))
    digests, group = np.unique(found.slices["digest"][rows], return_inverse=True)
    seen = np.zeros((len(digests), len(SPLITS)), bool)
    seen[group, plan.codes[rows]] = True
    shared = rows[(seen.sum(axis=1) > 1)[group]]
    pictures: dict[str, list] = defaultdict(list)
    for row in shared.tolist():
        volume_id, patient_id = found.volumes[found.slices["volume"][row]]
        picture = {"volume_id": volume_id, "patient_id": patient_id}
        picture["file_name"] = coco_entries.file_name(volume_id, int(found.slices["index"][row]))
        picture["digest"] = found.slices["digest"][row].decode()
        pictures[SPLITS[plan.codes[row]]].append(picture)
    check_leakage(pictures)
