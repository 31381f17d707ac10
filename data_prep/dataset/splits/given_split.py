"""The split that the user asks for: shares, folds, a file, or what the bookmarks state."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.dataset.sources import Source
from data_prep.dataset.splits.split import read_split_file
from data_prep.dataset.splits.split_plan import SplitOptions
from data_prep.errors import DataError


def split_options(args: argparse.Namespace, sources: Sequence[Source]) -> SplitOptions:
    """Return how to split the patients of a run.

    Raises:
        DataError: A patient of two splits, or a list of splits that cannot be read.
    """
    given = None
    if args.split_file is not None:
        listed = read_split_file(args.split_file)
        given = {}
        for source in sources:
            for name in (source.patient, source.volume):
                split = listed.get(name)
                if split is not None and given.setdefault(source.patient_id, split) != split:
                    raise DataError(
                        f"Expected one split per patient but got {given[source.patient_id]} and"
                        f" {split} for the patient of {source.volume}. List patients, not volumes.",
                        path=Path(args.split_file).name,
                    )
    elif args.split is None and args.folds is None:
        given = _split_of_bookmarks(sources)
    return SplitOptions(args.split or (0.70, 0.15, 0.15), args.folds, args.seed, given)


def _split_of_bookmarks(sources: Sequence[Source]) -> dict[str, str] | None:
    """Return patient → split as the bookmarks state it, if they do."""
    given: dict[str, str] = {}
    for source in sources:
        for record in source.records:
            if record.split is None:
                continue
            if given.setdefault(source.patient_id, record.split) != record.split:
                raise DataError(
                    f"Expected one split per patient but got {given[source.patient_id]} and"
                    f" {record.split}. Correct the split column, or use --split.",
                    path=record.file,
                    row=record.row,
                )
    return given or None
