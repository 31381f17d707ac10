"""All figures of one kind of prediction, as a function of how often each patient counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmglan.evaluation.average_precision import (
    AP_THRESHOLDS,
    COCO_THRESHOLDS,
    PrecisionRecall,
    precision_recall,
)
from mmglan.evaluation.detection_set import DetectionSet
from mmglan.evaluation.froc import FROCCurve, curve_of
from mmglan.evaluation.matching import Matches, match
from mmglan.evaluation.protocols import FROC_FPS, RECALL_FPS, SEN_FP, Criterion, Protocol
from mmglan.evaluation.resampled_curves import WeightedFROC, WeightedPrecision

# Short axis in mm, lower end included; 10 mm is the usual limit for an enlarged node.
STRATA_MM = {
    "< 10 mm": (0.0, 10.0),
    "10-20 mm": (10.0, float(np.nextafter(20.0, 21.0))),
    "> 20 mm": (float(np.nextafter(20.0, 21.0)), 1e9),
}
OPERATING_FPS = tuple(sorted({*FROC_FPS, SEN_FP, *RECALL_FPS}))


def ap_name(threshold: float) -> str:
    """`AP25` for IoU 0.25."""
    return f"AP{round(threshold * 100):02d}"


class Metrics:
    """Names and values of all figures of some cases under a protocol.

    Attributes:
        names: F names without the kind: `AP25`, `SEN25`, `FROC25_fp0.125`, …
        strata_names: For each size stratum with lesions, the positions of its figures by name.
        curves: FROC curve by criterion.
        matches: Matches by criterion.
        estimates: `(F,)` figures of the test set itself; AP as COCOeval gives it.
    """

    def __init__(self, cases: DetectionSet, protocol: Protocol):
        self.cases = cases
        self.protocol = protocol
        self.names: list[str] = []
        self.strata_names: dict[str, dict[str, int]] = {}
        self.curves: dict[Criterion, FROCCurve] = {}
        self.matches: dict[Criterion, Matches] = {}
        self._parts: list[Callable[[np.ndarray], np.ndarray]] = []
        self._exact: dict[int, float] = {}
        sizes = cases.short_axis_mm
        self._strata = {
            name: (sizes >= low) & (sizes < high)
            for name, (low, high) in STRATA_MM.items()
            if ((sizes >= low) & (sizes < high)).any()
        }
        self._add_average_precision()
        for criterion in protocol.criteria(cases.dims):
            self._add_froc(criterion)
        self.estimates = self.values(np.ones((cases.n_patients, 1)))[:, 0]
        for index, value in self._exact.items():
            self.estimates[index] = value

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Metrics of reweighted test sets.

        Args:
            weights: `(P, B)` how often each patient counts.

        Returns:
            np.ndarray: `(F, B)`; NaN where a figure is not defined.
        """
        return np.concatenate([part(weights) for part in self._parts])

    def weighted_curve(self, criterion: Criterion) -> WeightedFROC:
        """The whole FROC curve as a function of weights, for confidence bands."""
        return WeightedFROC(self.cases, self.matches[criterion])

    def _add(self, names, part):
        first = len(self.names)
        self.names += names
        self._parts.append(part)
        return {name: first + index for index, name in enumerate(names)}

    def _add_average_precision(self):
        ranges = tuple(STRATA_MM[name] for name in self._strata)
        verdicts = precision_recall(self.cases, AP_THRESHOLDS, strata_mm=ranges)
        for threshold in AP_THRESHOLDS:
            self._add_verdict(threshold, verdicts[threshold, 0], None)
            for number, name in enumerate(self._strata, 1):
                self._add_verdict(threshold, verdicts[threshold, number], name)
        if self.cases.dims == 2:
            self._add_mean_ap()

    def _add_verdict(self, threshold: float, verdict: PrecisionRecall, stratum: str | None):
        weighted = WeightedPrecision(self.cases, verdict)
        names = [ap_name(threshold), f"mRecall{round(threshold * 100):02d}"]
        if stratum is None:
            places = self._add(names, weighted.values)
        else:
            places = self._add([f"{names[0]} {stratum}"], lambda w: weighted.values(w)[:1])
            self._stratum(stratum)[names[0]] = places[f"{names[0]} {stratum}"]
        self._exact[next(iter(places.values()))] = verdict.ap

    def _add_mean_ap(self):
        verdicts = precision_recall(self.cases, COCO_THRESHOLDS)
        parts = [WeightedPrecision(self.cases, verdict) for verdict in verdicts.values()]
        places = self._add(
            ["mAP"], lambda w: np.mean([part.values(w)[0] for part in parts], axis=0)[None]
        )
        self._exact[places["mAP"]] = float(np.mean([v.ap for v in verdicts.values()]))

    def _add_froc(self, criterion: Criterion):
        cases, protocol, label = self.cases, self.protocol, criterion.label
        matches = match(
            cases.overlaps[criterion.overlap],
            cases.scores,
            cases.n_lesions,
            threshold=criterion.threshold,
            assignment=protocol.assignment,
            duplicates=protocol.duplicates,
        )
        self.matches[criterion] = matches
        self.curves[criterion] = curve_of(matches, cases.scores, cases.n_images, cases.n_lesions)
        subsets = [
            (matches.found_by[members], cases.gt_image[members])
            for members in self._strata.values()
        ]
        names = [
            *(f"FROC{label}_fp{fp:g}" for fp in FROC_FPS),
            f"SEN{label}",
            *(f"recall{label}_fp{fp:g}" for fp in RECALL_FPS),
            f"FROC{label}_mean",
        ]
        if cases.dims == 3:
            names.append(f"volumeSEN{label}")
            subsets.append(_volumes_found(cases, matches))
        in_strata = [f"SEN{label}", f"FROC{label}_mean"]
        names += [f"{figure} {name}" for name in self._strata for figure in in_strata]
        weighted = WeightedFROC(cases, matches, subsets)
        fps = (*FROC_FPS, SEN_FP, *RECALL_FPS)
        at_sen = len(FROC_FPS)

        def values(weights):
            found = weighted.at(weights, fps, protocol.interpolation)
            means = found[:, :at_sen].mean(axis=1)
            rows = [*found[0], means[0]]
            if cases.dims == 3:
                rows.append(found[-1, at_sen])
            for number in range(1, 1 + len(self._strata)):
                rows += [found[number, at_sen], means[number]]
            return np.stack(rows)

        places = self._add(names, values)
        for name in self._strata:
            self._stratum(name).update({figure: places[f"{figure} {name}"] for figure in in_strata})

    def _stratum(self, name):
        return self.strata_names.setdefault(name, {})

    def n_lesions_of(self, stratum: str) -> int:
        """Lesions in a size stratum."""
        return int(self._strata[stratum].sum())


def _volumes_found(cases: DetectionSet, matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Volumes with lesions as lesions: each with the first prediction that finds any of its own."""
    rank = np.full(len(matches.order) + 1, len(matches.order))
    rank[matches.order] = np.arange(len(matches.order))
    volumes, place = np.unique(cases.gt_image, return_inverse=True)
    first = np.full(len(volumes), len(matches.order))
    np.minimum.at(first, place, rank[matches.found_by])
    return np.append(matches.order, -1)[first], volumes
