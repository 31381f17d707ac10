"""What a detector found in one scan: the typed record that inference writes and others read.

Coordinates are those of the axial LPS volume (`data_prep.volumes`): index (x, y, z), 0-based, whole
numbers are voxel centres. Every point is also given in mm of the patient frame (LPS), so that a
finding does not depend on how the scan is stored.

`findings.json` holds `Findings.to_json()`; `SCHEMA` is raised when a reader would misread it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from data_prep.errors import DataError
from data_prep.json_files import load_json
from data_prep.volumes.geometry import Grid
from data_prep.volumes.volume import Volume

SCHEMA = 1
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class SliceDetection:
    """A lesion on one slice.

    Attributes:
        slice_index: Axial slice (z).
        box: x, y, width, height in COCO's sense: pixel *i* covers [i, i + 1).
        score: Confidence of the 2D detection, 0 to 1.
        segmentation: Compressed RLE `{"size": [H, W], "counts": str}`; None without a mask.
    """

    slice_index: int
    box: tuple[float, float, float, float]
    score: float
    segmentation: dict[str, Any] | None = None


@dataclass(frozen=True)
class RecistMeasurement:
    """Long and short axis of a lesion on its largest slice.

    Attributes:
        slice_index: Axial slice (z) that the axes lie on.
        long_axis, short_axis: End points ((x1, y1), (x2, y2)) in axial pixels.
        long_axis_lps, short_axis_lps: The same end points in mm, LPS, ((x, y, z), (x, y, z)).
        long_axis_mm, short_axis_mm: Lengths.
    """

    slice_index: int
    long_axis: tuple[tuple[float, float], tuple[float, float]]
    short_axis: tuple[tuple[float, float], tuple[float, float]]
    long_axis_lps: tuple[tuple[float, float, float], tuple[float, float, float]]
    short_axis_lps: tuple[tuple[float, float, float], tuple[float, float, float]]
    long_axis_mm: float
    short_axis_mm: float


@dataclass(frozen=True)
class Lesion:
    """One 3D lesion.

    Attributes:
        number: 1-based, by falling score; also the label in the label map and SEG.
        score: Confidence, 0 to 1.
        probability: Calibrated probability of being a lesion; None where the model has none.
        box3d: x1, y1, z1, x2, y2, z2; inclusive axial voxels.
        centre_lps: Centroid of the mask (or of the box) in mm, LPS.
        volume_ml: Volume of the mask; None without a mask.
        recist: Axes; None without a mask.
        slices: Its 2D detections, by slice.
        category: Name of the predicted class (`lesion`, or a node site).
        site: Node site if the classes are sites; else None.
    """

    number: int
    score: float
    probability: float | None
    box3d: tuple[int, int, int, int, int, int]
    centre_lps: tuple[float, float, float]
    volume_ml: float | None
    recist: RecistMeasurement | None
    slices: tuple[SliceDetection, ...]
    category: str = "lesion"
    site: str | None = None


@dataclass(frozen=True)
class ScanGeometry:
    """The axial grid that the findings are on, and the stored grid it came from.

    Attributes:
        shape_zyx: Axial shape.
        spacing_mm: (x, y, z) of the axial grid.
        stored_size, stored_spacing, stored_origin, stored_direction: As in
            `data_prep.volumes.geometry.Grid`.
    """

    shape_zyx: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    stored_size: tuple[int, int, int]
    stored_spacing: tuple[float, float, float]
    stored_origin: tuple[float, float, float]
    stored_direction: tuple[float, ...]

    @classmethod
    def of(cls, volume: Volume) -> ScanGeometry:
        """Return the geometry of a scan."""
        grid = volume.grid
        return cls(
            _three(int, volume.array.shape),
            _three(float, volume.spacing_mm),
            _three(int, grid.size),
            _three(float, grid.spacing),
            _three(float, grid.origin),
            tuple(float(v) for v in grid.direction),
        )

    @property
    def grid(self) -> Grid:
        """The stored grid."""
        return Grid(
            self.stored_size, self.stored_spacing, self.stored_origin, self.stored_direction
        )


@dataclass(frozen=True)
class Findings:
    """All findings of one scan.

    Attributes:
        volume_id: Pseudonym of the scan; no name, id or date of a patient.
        geometry: Where the coordinates live.
        lesions: By falling score.
        classes: Names of all classes of the model; the number of a class in COCO results is its
            place here, from 1.
        model: Name, version and hash of the model (free JSON object of plain values).
        threshold: Lowest score that is reported.
        warnings: What the reader of the result must know (input outside of what the model is for…).
        schema: See `SCHEMA`.
    """

    volume_id: str
    geometry: ScanGeometry
    lesions: tuple[Lesion, ...]
    classes: tuple[str, ...] = ("lesion",)
    model: Mapping[str, Any] = field(default_factory=dict)
    threshold: float = 0.0
    warnings: tuple[str, ...] = ()
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` is the inverse."""
        lesions = [
            {
                **vars(lesion),
                "recist": None if lesion.recist is None else {**vars(lesion.recist)},
                "slices": [{**vars(part)} for part in lesion.slices],
            }
            for lesion in self.lesions
        ]
        geometry, model = {**vars(self.geometry)}, dict(self.model)
        return {**vars(self), "geometry": geometry, "lesions": lesions, "model": model}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Findings:
        """Read what `to_json` gave.

        Raises:
            ValueError: Another schema, a missing field or a value of another kind.
        """
        if not isinstance(record, Mapping) or record.get("schema") != SCHEMA:
            got = record.get("schema") if isinstance(record, Mapping) else type(record).__name__
            raise ValueError(f"Expected findings of schema {SCHEMA} but got {got!r}.")
        try:
            return cls(
                volume_id=str(record["volume_id"]),
                geometry=ScanGeometry(**{k: tuple(v) for k, v in record["geometry"].items()}),
                lesions=tuple(_lesion(entry) for entry in record["lesions"]),
                classes=tuple(map(str, record["classes"])),
                model=dict(record["model"]),
                threshold=float(record["threshold"]),
                warnings=tuple(map(str, record["warnings"])),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"Expected findings of schema {SCHEMA} but got {error!r}.") from error


def _three(kind: type[Number], values: Iterable[Any]) -> tuple[Number, Number, Number]:
    first, second, third = map(kind, values)
    return first, second, third


def _lesion(entry: Mapping[str, Any]) -> Lesion:
    recist = entry["recist"]
    return Lesion(
        **{
            **entry,
            "box3d": tuple(map(int, entry["box3d"])),
            "centre_lps": tuple(map(float, entry["centre_lps"])),
            "recist": None if recist is None else _measurement(recist),
            "slices": tuple(
                SliceDetection(**{**part, "box": tuple(part["box"])}) for part in entry["slices"]
            ),
        }
    )


def _measurement(entry: Mapping[str, Any]) -> RecistMeasurement:
    axes = ("long_axis", "short_axis", "long_axis_lps", "short_axis_lps")
    points = {name: tuple(tuple(map(float, point)) for point in entry[name]) for name in axes}
    return RecistMeasurement(**{**entry, **points})


def read_findings_file(path: Path, name: str) -> Findings:
    """Read a `findings.json` of `mmglan infer`.

    Args:
        path: The file.
        name: How messages call it.

    Raises:
        FileNotFoundError: There is none.
        DataError: It is none of `mmglan infer`.
    """
    try:
        return Findings.from_json(load_json(path))
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error), path=name) from None
