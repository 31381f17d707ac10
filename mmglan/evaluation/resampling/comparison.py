"""Paired comparison of two detectors on the same patients.

Letters: P patients, F metrics, B resamples or permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from mmglan.evaluation.detection_sets.detection_set import DetectionSet, pooled, rank_scores
from mmglan.evaluation.evaluate import defined, known
from mmglan.evaluation.metric_values import MetricKey
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import Protocol, get_protocol
from mmglan.evaluation.resampling.bootstrap import Interval
from mmglan.evaluation.resampling.bootstrap import bootstrap as bootstrap_intervals

SCHEMA = 2


@dataclass(frozen=True)
class Difference(MetricKey):
    """One metric of two detectors.

    Attributes:
        first: Metric of detector A; None where it is not defined.
        second: Metric of detector B; likewise.
        difference: A minus B.
        interval: Confidence interval of the difference; None where there is none.
        p_value: Of the permutation test, two-sided; None where there is none.
    """

    first: float | None = None
    second: float | None = None
    difference: float | None = None
    interval: Interval | None = None
    p_value: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two detectors on one test set.

    Attributes:
        protocol: Rules of the evaluation.
        differences: Metrics of lesions of all sizes.
        permutations: Of the p-values.
        schema: Of the file.
    """

    protocol: Protocol
    differences: tuple[Difference, ...]
    permutations: int
    schema: int = SCHEMA

    def __getitem__(self, key: MetricKey | str) -> Difference:
        """Return a metric's comparison by its key or its name; KeyError where there is none."""
        name = key if isinstance(key, str) else key.name
        return {one.name: one for one in self.differences}[name]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, each difference with its metric's name."""
        record = msgspec.to_builtins(self)
        for entry, one in zip(record["differences"], self.differences, strict=True):
            entry["name"] = one.name
        return record


def compare_detections(
    first: DetectionSet | Sequence[DetectionSet],
    second: DetectionSet | Sequence[DetectionSet],
    protocol: str | Protocol = "deeplesion",
    *,
    bootstrap: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    interval: str = "bca",
) -> Comparison:
    """Compute differences `first - second` of all metrics, with intervals and p-values.

    The interval resamples patients and takes both detectors' results of each drawn patient, so
    what makes a patient hard for both cancels. The p-value is that of a permutation test: if the
    detectors were the same, their results of any patient could be exchanged; each permutation
    exchanges them for a random half of the patients. It is two-sided, the share of permutations
    with a difference at least as large as the one found, which counts as one of them
    (Phipson & Smyth 2010). Before results are mixed, scores are replaced by their rank (predictions
    per image at least as certain), which changes no metric of either detector but makes scores on
    different scales exchangeable.

    Args:
        first: Detector A; or runs of it, one per seed: each metric is the mean over the runs.
        second: Detector B, same kind, images, patients and lesions, and as many runs.
        protocol: Preset's name or a protocol.
        bootstrap: B for the intervals; 0 for none.
        permutations: B for the p-values; 0 for none.
        seed: Of both.
        level: Confidence level.
        interval: `'bca'` or `'percentile'`.

    Returns:
        Comparison: One difference for each metric of lesions of all sizes.

    Raises:
        ValueError: The detectors were not run on the same test set, or not as often.
    """
    protocol = get_protocol(protocol)
    sides = _runs(first), _runs(second)
    if not sides[0] or len(sides[0]) != len(sides[1]):
        raise ValueError(
            f"Expected as many runs of both detectors but got {len(sides[0])} and {len(sides[1])}"
        )
    runs = list(zip(*sides, strict=True))
    for one in (one for pair in runs for one in pair):
        _check_same_set(runs[0][0], one)
    metrics = [Metrics(pooled(*map(rank_scores, pair)), protocol) for pair in runs]
    count, keys = runs[0][0].n_patients, metrics[0].keys
    rows = [index for index, key in enumerate(keys) if key.stratum is None]

    def values(of_first, of_second):
        weights = np.vstack([of_first, of_second])
        return np.mean([one.values(weights)[rows] for one in metrics], axis=0)

    def difference(weights):
        none = np.zeros_like(weights)
        return values(weights, none) - values(none, weights)

    ones, none = np.ones((count, 1)), np.zeros((count, 1))
    of_first, of_second = values(ones, none)[:, 0], values(none, ones)[:, 0]
    found = of_first - of_second
    intervals: list[Interval | None] = [None] * len(rows)
    if bootstrap:
        options = dict(n=bootstrap, seed=seed, level=level, method=interval, estimates=found)
        intervals = [known(one) for one in bootstrap_intervals(difference, count, **options)]
    generator = np.random.default_rng([seed, 1])
    kept = generator.integers(0, 2, (count, permutations)).astype(np.float64)
    exchanged = values(kept, 1 - kept) - values(1 - kept, kept)
    differences = tuple(
        Difference(
            **vars(keys[row]),
            first=defined(of_first[index]),
            second=defined(of_second[index]),
            difference=defined(found[index]),
            interval=intervals[index],
            p_value=defined(permutation_p(found[index], exchanged[index])),
        )
        for index, row in enumerate(rows)
    )
    return Comparison(protocol, differences, permutations)


def compare_kinds(
    first: Sequence[DetectionSet],
    second: Sequence[DetectionSet],
    protocol: str | Protocol = "deeplesion",
    **options,
) -> Comparison:
    """Compare two detectors in all kinds of predictions; options as `compare_detections`.

    Raises:
        ValueError: The detectors have different kinds of predictions or other test sets.
    """
    kinds = [{one.kind: one for one in sets} for sets in (first, second)]
    if set(kinds[0]) != set(kinds[1]):
        raise ValueError(
            f"Expected the same kinds of results on both sides but got {sorted(kinds[0])} "
            f"and {sorted(kinds[1])}"
        )
    parts = [
        compare_detections(one, kinds[1][kind], protocol, **options)
        for kind, one in kinds[0].items()
    ]
    differences = tuple(one for part in parts for one in part.differences)
    return Comparison(get_protocol(protocol), differences, options.get("permutations", 1000))


def permutation_p(found: float, exchanged: np.ndarray) -> float:
    """Compute the two-sided p-value of a difference among `(B,)` differences under exchange.

    Differences that are equal up to rounding count as equal. Without a difference under exchange
    there is no p-value (NaN).
    """
    exchanged = exchanged[np.isfinite(exchanged)]
    if not np.isfinite(found) or not len(exchanged):
        return float("nan")
    as_large = np.sum(np.abs(exchanged) >= abs(found) - 1e-12)
    return float((as_large + 1) / (len(exchanged) + 1))


def _runs(detector: DetectionSet | Sequence[DetectionSet]) -> Sequence[DetectionSet]:
    return [detector] if isinstance(detector, DetectionSet) else detector


def _check_same_set(first: DetectionSet, second: DetectionSet) -> None:
    """Refuse detections of other images, patients, lesions or kind."""
    if (
        first.kind != second.kind
        or not np.array_equal(first.patient, second.patient)
        or not np.array_equal(first.gt_image, second.gt_image)
    ):
        raise ValueError(
            "Expected two detectors on the same images and lesions but got "
            + _difference(first, second)
        )


def _difference(first, second) -> str:
    """Say how the test sets of two detectors differ."""
    if first.kind != second.kind:
        return f"{first.kind} and {second.kind}"
    if (first.n_images, first.n_lesions) == (second.n_images, second.n_lesions):
        return f"{first.n_images} images of other patients or with the lesions on other images"
    return (
        f"{first.n_images} and {second.n_images} images, "
        f"{first.n_lesions} and {second.n_lesions} lesions"
    )
