"""What a converter of a public set reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep import atomic_files
from data_prep.public_sets.key_slices import COLUMNS_IN_MM


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        images: Folder that the volumes of the bookmarks are relative to.
        masks: Folder of the masks.
        patients: Number of patients.
        bookmarks: Number of bookmarks of lesions.
        split: Table of patients and splits, if the converter names one.
        notes: Lines on what was left out.
    """

    images: Path
    masks: Path
    patients: int
    bookmarks: int
    split: Path | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def with_split(
        cls,
        images: Path,
        out: Path,
        rows: Sequence[Sequence[str]],
        split_of: Mapping[str, str],
        notes: Sequence[str],
    ) -> Converted:
        """Write `bookmarks.csv` and `split.csv` below `out`, beside `masks/`.

        Args:
            images: Folder that the volumes are relative to.
            out: The folder.
            rows: See `row_in_mm`.
            split_of: Split by patient.
            notes: Lines on what was left out.
        """
        table = atomic_files.write_csv(
            out / "split.csv", ("patient", "split"), sorted(split_of.items())
        )
        atomic_files.write_csv(out / "bookmarks.csv", COLUMNS_IN_MM, rows)
        bookmarks = sum(row[COLUMNS_IN_MM.index("status")] == "lesion" for row in rows)
        return cls(images, out / "masks", len(split_of), bookmarks, table, tuple(notes))

    def show(self, out: Path) -> None:
        """Print the lines for the user."""
        for note in self.notes:
            print(note)
        print(f"{self.patients} patients, {self.bookmarks} bookmarks in {out / 'bookmarks.csv'}")
