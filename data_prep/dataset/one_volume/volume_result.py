"""What a worker found out about one volume, typed, and its JSON form on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from data_prep.atomic_files import json_bytes


@dataclass(frozen=True)
class SliceResult:
    """A slice that was written.

    Attributes:
        slice_index: Its place in the volume, from 0.
        kind: `lesion` (bookmarked), `ignore` (with regions to ignore only), `empty` (kept without
            a lesion), `rejected` (the same, with a finding that a reader rejected), `propagated` (a
            bookmarked lesion was followed to it) or `extra` (a
            neighbour).
        digest: Of its pixels; None for a slice of one value.
    """

    slice_index: int
    kind: str
    digest: str | None


@dataclass(frozen=True)
class SliceLesion:
    """A lesion on one slice, in the fields of a COCO annotation.

    Attributes:
        slice_index: The slice.
        bbox: x, y, width, height in pixels.
        area: Pixels of the mask.
        segmentation: Compressed run-length code of the mask; None where only a box is known.
        recist: End points of the long axis, then of the short one: x, y each, pixels; None of a
            box.
        long_axis_mm, short_axis_mm: Lengths of the axes; of a box, its sides.
        mask_source: What made the mask.
        site: Where in the body, as the bookmark says; of a lesion of a voxel mask, that on it.
        lesion: Its label, for lesions of a voxel mask.
    """

    slice_index: int
    bbox: list[float]
    area: int
    segmentation: dict[str, Any] | None
    recist: list[float] | None
    long_axis_mm: float
    short_axis_mm: float
    mask_source: str
    site: str | None = None
    lesion: int | None = None

    def annotation(self) -> dict[str, Any]:
        """Return the fields of the annotation; those that are not known are left out."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {name: value for name, value in known.items() if name != "slice_index"}


@dataclass(frozen=True)
class IgnoreRegion:
    """A part of a slice that counts neither as lesion nor as background: a crowd region in COCO.

    Attributes:
        slice_index: The slice.
        bbox: x, y, width, height in pixels.
        area: Pixels of the region.
        segmentation: Compressed run-length code of the region.
        drawn: What was measured there, such as `length`.
    """

    slice_index: int
    bbox: list[float]
    area: int
    segmentation: dict[str, Any]
    drawn: str

    def annotation(self) -> dict[str, Any]:
        """Return the fields of the annotation.

        Not `ignore`, by which MMDetection would drop the region and train on it as background.
        """
        known = {name: value for name, value in vars(self).items() if name != "slice_index"}
        return known | {"iscrowd": 1}


@dataclass(frozen=True)
class HardNegative:
    """A place on a slice that looks like a lesion to a detector and is none.

    Attributes:
        slice_index: The slice.
        bbox: x, y, width, height in pixels.
    """

    slice_index: int
    bbox: list[float]


@dataclass(frozen=True)
class Lesion3D:
    """A lesion of a voxel mask in 3D.

    Attributes:
        label: Its value in the mask.
        box3d: x1, y1, z1, x2, y2, z2; inclusive voxels.
        key_slice: Axial slice on which its long axis is longest.
        long_axis_mm, short_axis_mm: Lengths of the axes on that slice; of a box, its sides.
    """

    label: int
    box3d: list[int]
    key_slice: int
    long_axis_mm: float
    short_axis_mm: float


@dataclass
class VolumeResult:
    """What one volume gives.

    Attributes:
        volume_id, patient_id: Pseudonyms.
        n_bookmarks: Number of bookmarks that could be read.
        all_known: False if some were refused, so that lesions may be where no annotation is.
        key: Of the input and the options that it was made from.
        errors, notes: Lines for the user, with file names.
        shape_zyx: Slices, rows and columns; None if the volume cannot be read.
        spacing_mm: Voxel size (x, y, z).
        stored_size: Columns, rows and slices of the file.
        slices: Slices that were written, in their order; none if the volume is left out.
        lesions: Bookmarked lesions with their pseudo masks.
        propagated: The same lesions on slices around the bookmarked ones.
        ignored: Regions to ignore.
        rejected: Places on those slices where a reader rejected a finding.
        gt_lesions: Lesions of the voxel mask on those slices; None without a usable mask.
        gt_lesions_3d: The same in 3D, of the whole volume.
    """

    volume_id: str
    patient_id: str
    n_bookmarks: int = 0
    all_known: bool = True
    key: str = ""
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shape_zyx: list[int] | None = None
    spacing_mm: list[float] | None = None
    stored_size: list[int] | None = None
    slices: list[SliceResult] = field(default_factory=list)
    lesions: list[SliceLesion] = field(default_factory=list)
    propagated: list[SliceLesion] = field(default_factory=list)
    ignored: list[IgnoreRegion] = field(default_factory=list)
    rejected: list[HardNegative] = field(default_factory=list)
    gt_lesions: list[SliceLesion] | None = None
    gt_lesions_3d: list[Lesion3D] = field(default_factory=list)

    @property
    def has_gt(self) -> bool:
        """Say whether a voxel mask shows where all lesions are."""
        return self.gt_lesions is not None

    def leave_out(self, error: str) -> None:
        """Drop what was made of the volume, and say why."""
        self.errors.append(error)
        self.slices, self.lesions, self.propagated = [], [], []
        self.ignored, self.rejected = [], []
        self.gt_lesions, self.gt_lesions_3d = None, []

    def to_json(self) -> bytes:
        """Encode the result; equal results give equal bytes."""
        return json_bytes(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> VolumeResult:
        """Decode what `to_json` gave.

        Raises:
            ValueError: The text is something else, such as a result of another version.
        """
        try:
            content = json.loads(text)
            for name, kind in _LISTS.items():
                if content[name] is not None:
                    content[name] = [kind(**entry) for entry in content[name]]
            return cls(**content)
        except (TypeError, KeyError) as error:
            raise ValueError(f"Expected the result of a volume but got: {error}.") from None


_LISTS = {
    "slices": SliceResult,
    "lesions": SliceLesion,
    "propagated": SliceLesion,
    "ignored": IgnoreRegion,
    "rejected": HardNegative,
    "gt_lesions": SliceLesion,
    "gt_lesions_3d": Lesion3D,
}
