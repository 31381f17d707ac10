"""What every bookmark reader returns: one lesion's two diameters as they stand in the file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.errors import DataError, quoted


@dataclass(frozen=True, eq=False, slots=True)
class BookmarkRecord:
    """A RECIST bookmark as written in a file, not yet placed in its volume.

    A run holds all of its bookmarks: each is kept small, and equal names are stored once.

    Args:
        volume: Path of the volume relative to the image folder (`folder#UID` for one series).
        points: End points, order long 1, long 2, short 1, short 2. `(4, 2)` 0-based pixels
            (column, row; whole numbers are pixel centres) of a stored slice, or `(4, 3)` mm.
        frame: `pixel`, or the patient frame of the mm: `LPS` or `RAS`.
        slice_index: 0-based stored slice (frame `pixel`), else None.
        patient: Patient as the file names it; never written to any output.
        site: Node type or body site.
        split: `train`, `val` or `test` where the file fixes it.
        file: Name of the bookmark file.
        row: 1-based line in it (the header is row 1), or the 1-based number of the item.
        instance_uid: DICOM SOP instance UID of the slice, where the file names the slice so.
        frame_number: 1-based frame in a multi-frame instance.
        slice_number: The files' own slice number, where the file counts so (DeepLesion).
        spacing_mm: Spacing (x, y, z) that the file states for the volume (DeepLesion).
    """

    volume: str
    points: np.ndarray
    frame: str = "pixel"
    slice_index: int | None = None
    patient: str | None = None
    site: str | None = None
    split: str | None = None
    file: str = ""
    row: int | None = None
    instance_uid: str | None = None
    frame_number: int | None = None
    slice_number: int | None = None
    spacing_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        for field in ("volume", "patient", "site", "file"):
            if (value := getattr(self, field)) is not None:
                object.__setattr__(self, field, sys.intern(value))


class LeftOutWarning(UserWarning):
    """Rows were left out on purpose.

    Attributes:
        volumes: The volumes that they belong to, whose lesions are so not all known.
    """

    def __init__(self, message: str, volumes: Iterable[str]) -> None:
        super().__init__(message)
        self.volumes = frozenset(volumes)


@dataclass(frozen=True)
class Options:
    """What a caller may say about a bookmark file; each format understands some of it.

    Args:
        image_root: Folder of the volumes.
        origin: CSV in pixels: the number of the first pixel and slice, 0 or 1.
        frame: CSV in mm without a `frame` column: LPS or RAS.
        volume: Formats that name no volume: the volume, relative to the image folder.
        patient: Formats that name no patient: the patient.
        slices: Masks: measure each lesion on its `largest` slice or on `all`.
    """

    image_root: Path | None = None
    origin: int = 0
    frame: str | None = None
    volume: str | None = None
    patient: str | None = None
    slices: str = "largest"

    def __post_init__(self) -> None:
        allowed = {"origin": (0, 1), "frame": (None, "LPS", "RAS"), "slices": ("largest", "all")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                wanted = ", ".join(str(v) for v in values if v is not None)
                raise DataError(
                    f"Expected {wanted} for {name} but got {quoted(getattr(self, name))}. Correct "
                    "the option."
                )
