"""Splits by patient: at random in given shares, in folds, from a list, or one patient in blocks.

No patient is ever in two splits; `check_leakage` verifies that on the finished data set.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep.csv_rows import open_table
from data_prep.errors import DataError

SPLITS = ("train", "val", "test")
_LISTED_AS = {
    "train": "train",
    "training": "train",
    "1": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "2": "val",
    "test": "test",
    "testing": "test",
    "3": "test",
}


def split_patients(
    strata: Mapping[str, Hashable],
    fractions: Sequence[float] = (0.70, 0.15, 0.15),
    seed: int = 0,
) -> dict[str, str]:
    """Split patients at random in given shares, evenly within strata.

    The patients are put in line stratum by stratum, in random order within each, and dealt out so
    that every stretch of the line has the wanted shares as nearly as whole patients allow. So small
    strata are spread too, and the totals are exact (largest remainder).

    Args:
        strata: For every patient, what to balance (site, size class …); anything hashable.
        fractions: Shares of train, val and test; they sum to 1, and a share may be 0.
        seed: Equal input and seed give an equal split, whatever the order of `strata`.

    Returns:
        Patient → `'train' | 'val' | 'test'`. Every share above 0 gets at least one patient as
        long as there are enough of them.

    Raises:
        ValueError: If the shares are no three numbers ≥ 0 with sum 1.
    """
    if (
        len(fractions) != len(SPLITS)
        or min(fractions) < 0
        or not np.isclose(sum(fractions), 1.0, atol=1e-6)
    ):
        raise ValueError(f"Expected three shares ≥ 0 with sum 1 but got {list(fractions)}.")
    line = _line_up(strata, seed)
    counts = _deal(line, _whole_shares(len(line), fractions))
    return {patient: SPLITS[part] for patient, part in counts.items()}


def split_folds(strata: Mapping[str, Hashable], folds: int, seed: int = 0) -> list[dict[str, str]]:
    """Split patients into k folds for cross-validation, evenly within strata.

    In the i-th split, fold i is the test set, fold i + 1 the validation set, the others train. So
    each patient is tested exactly once.

    Args:
        strata: As in `split_patients`.
        folds: k, 3 at least.
        seed: As in `split_patients`.

    Raises:
        ValueError: If there are fewer than 3 folds or fewer patients than folds.
    """
    if len(strata) < 3:
        raise ValueError(f"Expected at least 3 patients for folds but got {len(strata)}.")
    if not 3 <= folds <= len(strata):
        raise ValueError(
            f"Expected 3 to {len(strata)} folds (one patient each at least) but got {folds}."
        )
    line = _line_up(strata, seed)
    fold_of = _deal(line, _whole_shares(len(line), [1 / folds] * folds))
    names = {0: "test", 1: "val"}
    return [
        {patient: names.get((fold - i) % folds, "train") for patient, fold in fold_of.items()}
        for i in range(folds)
    ]


def slice_blocks(
    slices: Sequence[tuple[Hashable, bool]], fractions: Sequence[float] = (0.70, 0.15, 0.15)
) -> dict[Hashable, str]:
    """Split the slices of a single patient into contiguous blocks: train, then val, then test.

    Neighbouring slices at the borders of blocks may show the same lesion, so results on such a
    split say that a pipeline works, not how a detector does on new patients.

    Args:
        slices: `(slice key, whether it holds a lesion)` in anatomical order. The shares count
            slices with lesions; the others follow the block they lie in.
        fractions: As in `split_patients`.
    """
    n_lesion = sum(holds for _, holds in slices)
    counted = n_lesion or len(slices)
    ends = np.cumsum(_whole_shares(counted, fractions))
    assignment, seen = {}, 0
    for key, holds in slices:
        seen_here = seen + 1 if (holds or not n_lesion) else max(seen, 1)
        assignment[key] = SPLITS[int(np.searchsorted(ends, seen_here))]
        if holds or not n_lesion:
            seen += 1
    return assignment


def read_split_file(path: str | Path) -> dict[str, str]:
    """Read a list of splits: a CSV with the columns `patient` (or `volume`) and `split`.

    Returns:
        Patient or volume → split, in the words of this module; `1 2 3` mean train, val, test.

    Raises:
        DataError: With file and row.
    """
    path = Path(path)
    try:
        with open_table(path) as stream:
            rows = list(_numbered_rows(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = "text that is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        if isinstance(error, OSError):  # its text holds the whole path
            reason = error.strerror
        raise DataError(
            f"Expected a readable CSV file but got: {reason}. Name another file.", path=path.name
        ) from None
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    key = next((name for name in ("patient", "volume") if name in header), None)
    if key is None or "split" not in header:
        raise DataError(
            "Expected the columns patient (or volume) and split but got"
            f" {', '.join(header) or 'none'}. Add a header row.",
            path=path.name,
        )
    assignment: dict[str, str] = {}
    for number, cells in rows[1:]:
        row = dict(zip(header, cells + [""] * len(header), strict=False))
        name, wanted = row[key].strip(), row["split"].strip().lower()
        if wanted not in _LISTED_AS:
            raise DataError(
                f"Expected train, val or test but got {wanted[:24]!r}. Correct the split.",
                path=path.name,
                row=number,
            )
        split = _LISTED_AS[wanted]
        if assignment.setdefault(name, split) != split:
            raise DataError(
                f"Expected one split per {key} but got {assignment[name]} and {split} for the same"
                " one. Remove one of the rows.",
                path=path.name,
                row=number,
            )
    return assignment


def _numbered_rows(stream: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that hold something, each with the 1-based line that it begins on."""
    reader = csv.reader(stream)
    line = 1
    for cells in reader:
        if any(cells):
            yield line, cells
        line = reader.line_num + 1


def check_leakage(splits: Mapping[str, Iterable[Mapping]], *, by_patient: bool = True) -> None:
    """Raise unless the splits share no patient, no volume and no identical slice.

    Args:
        splits: Split name → COCO image entries, with `patient_id`, `volume_id` and optionally
            `digest` (of the pixels; equal digests mean copies of one slice).
        by_patient: False for the blocks of a single patient, which share that patient by design:
            there only a slice in two blocks is an error.

    Raises:
        DataError: Naming what is shared, and between which splits.
    """
    found = leaks(splits, by_patient=by_patient)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise DataError(
            f"Expected splits that share nothing but got {found[0]}{more}. Give both volumes the"
            " same patient, or remove the copy."
        )


def leaks(splits: Mapping[str, Iterable[Mapping]], *, by_patient: bool = True) -> list[str]:
    """List what `check_leakage` complains about, one line each."""
    fields = {"file_name": "slice"}
    if by_patient:
        fields = {"patient_id": "patient", "volume_id": "volume"} | fields
        fields["digest"] = "identical slices"
    where: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for split, images in splits.items():
        for image in images:
            for field in fields:
                if image.get(field):
                    where[field, image[field]].setdefault(split, image["file_name"])
    lines = []
    order = list(fields)
    for (field, value), places in sorted(
        where.items(), key=lambda w: (order.index(w[0][0]), str(w))
    ):
        if len(places) > 1:
            seen = " and ".join(f"{split} ({name})" for split, name in sorted(places.items()))
            what = fields[field] if field == "digest" else f"{fields[field]} {value}"
            lines.append(f"{what} in {seen}")
    return lines


def _line_up(strata: Mapping[str, Hashable], seed: int) -> list[str]:
    """Line up patients, those of one stratum side by side, in random order within."""
    members: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(strata):
        members[repr(strata[patient])].append(patient)
    generator = np.random.default_rng(seed)
    line = []
    for stratum in sorted(members):
        line += [members[stratum][i] for i in generator.permutation(len(members[stratum]))]
    return line


def _whole_shares(n: int, fractions: Sequence[float]) -> list[int]:
    """Return whole numbers nearest to `n × fractions` with sum n; each 1 at least if n allows."""
    exact = np.asarray(fractions, dtype=float) * n
    counts = np.floor(exact + 1e-9).astype(int)
    for part in np.argsort(-(exact - counts), kind="stable")[: n - counts.sum()]:
        counts[part] += 1
    wanted = [part for part, fraction in enumerate(fractions) if fraction > 0]
    for part in wanted if n >= len(wanted) else ():
        if counts[part] == 0:
            counts[int(np.argmax(counts))] -= 1
            counts[part] = 1
    return counts.tolist()


def _deal(line: Sequence[str], counts: Sequence[int]) -> dict[str, int]:
    """Walk along the line; each patient goes where the most is missing so far."""
    given: Counter = Counter()
    result = {}
    for position, patient in enumerate(line, start=1):
        missing = [
            (count * position / len(line) - given[part], -part)
            for part, count in enumerate(counts)
            if given[part] < count
        ]
        part = -max(missing)[1]
        given[part] += 1
        result[patient] = part
    return result
