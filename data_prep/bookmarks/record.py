"""What every reader of bookmarks takes and returns: options, and records as they were written."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from data_prep.errors import DataError, quoted
from data_prep.paths import check_relative
from data_prep.volumes.geometry import Grid
from data_prep.volumes.search.volume_index import VolumeIndex


@dataclass(frozen=True, eq=False, slots=True)
class BookmarkRecord:
    """A RECIST bookmark as written in a file, not yet placed in its volume.

    A run holds all of its bookmarks: each is kept small, and equal names are stored once.

    Args:
        volume: Path of the volume relative to the image folder (`folder#UID` for one series).
        points: End points, order long 1, long 2, short 1, short 2. `(4, 2)` 0-based pixels
            (column, row; whole numbers are pixel centres) of a stored slice, or `(4, 3)` mm.
            Of another shape as `data_prep.bookmarks.one_axis` says.
        frame: `pixel`, or the patient frame of the mm: `LPS` or `RAS`.
        slice_index: 0-based stored slice (frame `pixel`), else None.
        patient: Patient as the file names it; never written to any output.
        site: Node type or body site.
        split: `train`, `val` or `test` where the file fixes it.
        file: Name of the bookmark file.
        row: 1-based line in it (the header is row 1), or the 1-based number of the item.
        instance_uid: DICOM SOP instance UID of the slice, where the file names the slice so.
        frame_number: 1-based frame in a multi-frame instance.
        slice_number: The volume's own slice number, where the file counts so (DeepLesion, DICOM's
            InstanceNumber).
        spacing_mm: Spacing (x, y, z) that the file states for the volume (DeepLesion).
        shape: `cross`: two axes; or a key of `data_prep.bookmarks.one_axis.SHAPES`.
        drawn: How messages call a measurement of another shape (`length`).
        patient_key: Of a report's patient, see `data_prep.volumes.dicom.patient_key`.
        grid: Grid of the mask that it was measured on; the volume must have the same.
        layer: 0 for the first bookmark file of a run, 1 for the next …: later ones correct it.
        lengths_mm: Of each axis, as a report gives them; empty if it does not.
        frame_uid: DICOM's frame of reference of points in mm, where the file names it.
        may_swap_spacing: Written by a program that may, see `formats.reported_lengths`.
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
    shape: str = "cross"
    drawn: str = ""
    patient_key: str | None = None
    grid: Grid | None = None
    layer: int = 0
    lengths_mm: tuple[float, ...] = ()
    may_swap_spacing: bool = False
    frame_uid: str | None = None

    def __post_init__(self) -> None:
        for name in ("volume", "patient", "site", "file", "drawn"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, sys.intern(value))


@dataclass
class ReadResult:
    """What the readers of bookmarks return.

    Args:
        records: The sound bookmarks, in the order of the file.
        errors: One for each bookmark, or file of a folder, that was refused.
        notes: Lines on what the user should know although nothing is wrong.
        incomplete_volumes: Volumes with bookmarks that are not among `records`, since they were
            refused or left out on purpose. Not all lesions of these volumes are known.
        all_volumes_known: Whether `incomplete_volumes` holds them all; False if a bookmark was
            refused of which the volume cannot be told.
        ignored: Measurements that are to become regions to ignore: without two axes, or not judged.
        rejected: Places where a reader saw that there is no lesion.
        complete_volumes: Volumes that a reader has looked at as a whole: all lesions are marked.
    """

    records: list[BookmarkRecord] = field(default_factory=list)
    errors: list[DataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    incomplete_volumes: set[str] = field(default_factory=set)
    all_volumes_known: bool = True
    ignored: list[BookmarkRecord] = field(default_factory=list)
    rejected: list[BookmarkRecord] = field(default_factory=list)
    complete_volumes: set[str] = field(default_factory=set)

    def refuse(self, error: DataError, volume: str | None = None) -> None:
        """Add an error, and the volume of the refused bookmark where that can be told."""
        self.errors.append(error)
        if volume is None:
            self.all_volumes_known = False
        else:
            self.incomplete_volumes.add(volume)

    def add(self, other: ReadResult) -> None:
        """Add what was read from another file."""
        self.records += other.records
        self.ignored += other.ignored
        self.rejected += other.rejected
        self.complete_volumes |= other.complete_volumes
        self.errors += other.errors
        self.notes += other.notes
        self.incomplete_volumes |= other.incomplete_volumes
        self.all_volumes_known &= other.all_volumes_known


@dataclass(frozen=True)
class Options:
    """What a caller may say about a bookmark file; each format understands some of it.

    Args:
        images: The folder of the volumes.
        one_based: CSV in pixels: the first pixel and the first slice are number 1, not 0.
        frame: CSV in mm without a `frame` column: LPS or RAS.
        volume: Formats that name no volume: the volume, relative to the image folder.
        patient: Formats that name no patient: the patient.
        slices: Masks: measure each lesion on its `largest` slice or on `all`.
        binary_masks: Masks hold 0 and 1: connected components are the lesions.
        segments: Masks with named segments: regular expression that names of lesions contain.
        nifti_form: Masks: see `data_prep.read_volume`.
        names: CSV: volumes by their pseudonyms.
    """

    images: VolumeIndex | None = None
    one_based: bool = False
    frame: str | None = None
    volume: str | None = None
    patient: str | None = None
    slices: str = "largest"
    binary_masks: bool = False
    segments: str | None = None
    nifti_form: str = "auto"
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        allowed = {
            "one_based": (False, True),
            "frame": (None, "LPS", "RAS"),
            "slices": ("largest", "all"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                wanted = " or ".join(str(v) for v in values if v is not None)
                raise DataError(
                    f"Expected {wanted} for {name} but got {quoted(getattr(self, name))}. Correct "
                    "the option."
                )

    def volume_called(self, stem: str, file: str) -> str:
        """Return the volume of a bookmark file that names none: as stated, or of the same name.

        Args:
            stem: Name of the bookmark file without its ending.
            file: How messages call the bookmark file.

        Raises:
            DataError: No volume or several volumes fit.
        """
        if self.volume is not None:
            return check_relative(self.volume)
        return check_relative(stem) if self.images is None else self.images.by_name(stem, file)
