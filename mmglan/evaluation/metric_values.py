"""What a metric value is of, and the value itself; names are made here and never read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmglan.evaluation.protocols import Criterion
from mmglan.evaluation.resampling.bootstrap import Interval

Kind = Literal["bbox", "segm", "bbox3d", "segm3d"]
MetricName = Literal["AP", "mAP", "SEN", "volumeSEN", "FROC", "FROC_mean", "recall", "mRecall"]
KIND_WORDS: dict[str, str] = {
    "bbox": "boxes",
    "segm": "masks",
    "bbox3d": "3D boxes",
    "segm3d": "3D masks",
}


@dataclass(frozen=True)
class MetricKey:
    """What a metric value is of.

    Attributes:
        kind: `bbox`, `segm` (images), `bbox3d` or `segm3d` (volumes).
        metric: Definition, see docs/metrics.md.
        criterion: When a detection finds a lesion; None for `mAP`, a mean over ten criteria.
        operating_point: False positives per image or volume at which it is read; None where it
            belongs to no single one.
        stratum: Size stratum, e.g. `< 10 mm`; None for lesions of all sizes.
        category: Class; None where all classes are taken as one.
    """

    kind: Kind
    metric: MetricName
    criterion: Criterion | None = None
    operating_point: float | None = None
    stratum: str | None = None
    category: str | None = None

    @property
    def short_name(self) -> str:
        """Name without kind and stratum: `AP25`, `FROC_IoBB30_fp0.125`."""
        first, *rest = self.metric.split("_")
        label = "" if self.criterion is None else self.criterion.label
        if self.metric in ("FROC", "recall") and self.operating_point is not None:
            rest.append(f"fp{self.operating_point:g}")
        return "_".join([first + label, *rest, *filter(None, [self.category])])

    @property
    def name(self) -> str:
        """Name in files and logs: `bbox_AP25`, `bbox3d_FROC_IoBB30_fp0.125`."""
        name = f"{self.kind}_{self.short_name}"
        return f"{name} {self.stratum}" if self.stratum else name


@dataclass(frozen=True)
class MetricValue(MetricKey):
    """A metric of a test set.

    Attributes:
        value: Fraction in [0, 1]; None where it is not defined (no lesions).
        interval: Confidence interval; None where none was asked for or there is none.
    """

    value: float | None = None
    interval: Interval | None = None

    @property
    def key(self) -> MetricKey:
        """What the value is of."""
        return MetricKey(
            self.kind,
            self.metric,
            self.criterion,
            self.operating_point,
            self.stratum,
            self.category,
        )


def is_3d(kind: str) -> bool:
    """Whether a kind is of volumes."""
    return kind.endswith("3d")
