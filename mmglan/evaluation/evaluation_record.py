"""An evaluation as one typed record, and the metrics file that holds it (schema 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from data_prep.atomic_files import json_bytes, write_json
from mmglan.detections.coco_files import read_json
from mmglan.evaluation.metric_values import KIND_WORDS, Kind, MetricKey, MetricValue, is_3d
from mmglan.evaluation.protocols import Criterion, Protocol

SCHEMA = 2
# What tables of classes show; the file has everything.
BY_CLASS = ("AP", "mAP", "SEN", "FROC_mean")


@dataclass(frozen=True)
class Stratum:
    """Lesions of one size.

    Attributes:
        name: Range of the short axis, `< 10 mm`.
        n_lesions: How many there are.
    """

    name: str
    n_lesions: int


@dataclass(frozen=True)
class Counts:
    """Size of a test set, for one kind of prediction.

    Attributes:
        n_images: Images or volumes, those without lesions included.
        n_patients: Patients.
        n_lesions: Lesions.
        n_predictions: Predictions.
        strata: Lesions by size, small ones first; strata without lesions are left out.
    """

    n_images: int
    n_patients: int
    n_lesions: int
    n_predictions: int
    strata: tuple[Stratum, ...] = ()


@dataclass(frozen=True)
class OperatingPoint:
    """A point of a FROC curve.

    Attributes:
        fp: False positives per image or volume.
        sensitivity: Share of the lesions found; None without lesions.
        score: Keep predictions with at least this score; None where no score keeps the false
            positives so few.
    """

    fp: float
    sensitivity: float | None
    score: float | None


@dataclass(frozen=True)
class Band:
    """Pointwise percentile interval of a FROC curve.

    Attributes:
        fp: Where it stands, rising.
        low: Lower ends.
        high: Upper ends.
    """

    fp: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class ReportedCurve:
    """A FROC curve as it is drawn, with at most some hundred points.

    Attributes:
        kind: `bbox`, `segm`, `bbox3d` or `segm3d`.
        criterion: When a detection finds a lesion.
        fp: False positives per image or volume, rising.
        sensitivity: Share of the lesions found; None without lesions.
        score: Thresholds, falling.
        operating_points: Sensitivity and threshold at the usual false positive rates.
        band: Of the bootstrap; None where there is none.
        category: Class; None where all classes are taken as one.
    """

    kind: Kind
    criterion: Criterion
    fp: tuple[float, ...]
    sensitivity: tuple[float | None, ...]
    score: tuple[float, ...]
    operating_points: tuple[OperatingPoint, ...] = ()
    band: Band | None = None
    category: str | None = None


@dataclass(frozen=True)
class Confusion:
    """As which class lesions are found.

    Attributes:
        kind: `bbox` or `segm`.
        criterion: When a detection finds a lesion, whatever their classes.
        score: Detections of at least this score count.
        classes: Names.
        counts: One row per class of lesions, then one for false positives; one column per class of
            the detection that finds the lesion, then one for lesions that are missed.
    """

    kind: Kind
    criterion: Criterion
    score: float
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Evaluation:
    """Everything that is reported about one detector on one test set.

    Attributes:
        protocol: Rules of the evaluation.
        counts: Size of the test set by kind of prediction.
        values: Metrics, also those by size stratum.
        curves: FROC curves.
        confusions: Where metrics by class are wanted, one for each kind.
        schema: Of the file.
    """

    protocol: Protocol
    counts: dict[Kind, Counts] = field(default_factory=dict)
    values: tuple[MetricValue, ...] = ()
    curves: tuple[ReportedCurve, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    schema: int = SCHEMA

    @property
    def size(self) -> Counts:
        """Counts of images, of volumes where there are no images; all 0 where there is nothing."""
        kinds = [kind for kind in KIND_WORDS if kind in self.counts]
        return self.counts[kinds[0]] if kinds else Counts(0, 0, 0, 0)

    def get(self, key: MetricKey | str) -> MetricValue | None:
        """Return a metric by its key or by its name, None where there is none."""
        name = key if isinstance(key, str) else key.name
        return next((value for value in self.values if value.name == name), None)

    def __getitem__(self, key: MetricKey | str) -> MetricValue:
        """Return a metric by its key or by its name; KeyError where there is none."""
        found = self.get(key)
        if found is None:
            raise KeyError(key if isinstance(key, str) else key.name)
        return found

    def curve(self, kind: str, criterion: Criterion) -> ReportedCurve | None:
        """Return the curve of all lesions, None where there is none."""
        wanted = (kind, criterion, None)
        return next((c for c in self.curves if (c.kind, c.criterion, c.category) == wanted), None)

    def by_class(self, kind: str) -> dict[str, dict[str, MetricValue]]:
        """Return AP and sensitivities of a kind by class and name without the class."""
        found: dict[str, dict[str, MetricValue]] = {}
        for value in self.values:
            if value.kind == kind and value.category and value.metric in BY_CLASS:
                name = replace(value.key, category=None).short_name
                found.setdefault(value.category, {})[name] = value
        return found

    def by_name(self) -> dict[str, float]:
        """Return the metrics of lesions of all sizes by name, NaN where not defined: for logs."""
        return {
            value.name: float("nan") if value.value is None else value.value
            for value in self.values
            if value.stratum is None
        }

    def with_volumes(self, volumes: Evaluation) -> Evaluation:
        """Return this evaluation with the 3D part of another one in place of its own."""

        def joined(ours: Iterable, theirs: Iterable) -> tuple:
            flat = [one for one in ours if not is_3d(one.kind)]
            return (*flat, *(one for one in theirs if is_3d(one.kind)))

        flat = {kind: counts for kind, counts in self.counts.items() if not is_3d(kind)}
        deep = {kind: counts for kind, counts in volumes.counts.items() if is_3d(kind)}
        return replace(
            self,
            counts={**flat, **deep},
            values=joined(self.values, volumes.values),
            curves=joined(self.curves, volumes.curves),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, each metric with its name; `from_json` is the inverse."""
        record = msgspec.to_builtins(self)
        for entry, value in zip(record["values"], self.values, strict=True):
            entry["name"] = value.name
        return record

    @classmethod
    def from_json(cls, record: Any) -> Evaluation:
        """Read what `to_json` gave.

        Raises:
            ValueError: Another schema, or a value that is missing or of another type; it is named.
        """
        schema = record.get("schema") if isinstance(record, dict) else None
        if schema != SCHEMA:
            raise ValueError(
                f"Expected metrics of schema {SCHEMA} but got {schema!r}; evaluate again with "
                "this version"
            )
        try:
            json_bytes(record)  # refuses NaN and infinity
            evaluation = msgspec.convert(record, cls)
            evaluation._check_lengths()
        except ValueError as error:
            raise ValueError(f"{error}; evaluate again") from error
        return evaluation

    def _check_lengths(self) -> None:
        """Raise ValueError where curves have points in part, or strata other metrics each."""
        for curve in self.curves:
            band = curve.band or Band((), (), ())
            for lists in (
                (curve.fp, curve.sensitivity, curve.score),
                (band.fp, band.low, band.high),
            ):
                if len(set(map(len, lists))) > 1:
                    raise ValueError(f"Expected curves of {curve.kind} with all values of a point")
        for kind, counts in self.counts.items():
            names = {
                tuple(v.short_name for v in self.values if (v.kind, v.stratum) == (kind, one.name))
                for one in counts.strata
            }
            if len(names) > 1:
                raise ValueError(f"Expected the same metrics of every size stratum of {kind}")


def write_evaluation(evaluation: Evaluation, path: str | Path) -> None:
    """Write a metrics file, whole or not at all."""
    write_json(path, evaluation.to_json(), indent=1)


def read_evaluation(path: str | Path) -> Evaluation:
    """Read a metrics file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not JSON, or not a metrics file of this schema; file and place are named.
    """
    try:
        return Evaluation.from_json(read_json(path))
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).removeprefix(f'{Path(path).name}: ')}") from error
