"""All metrics of one kind of prediction, as a function of how often each patient counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmglan.evaluation.average_precision import AP_THRESHOLDS, COCO_THRESHOLDS, coco_ranking
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.froc import FROCCurve, curve_of
from mmglan.evaluation.matching import Matches
from mmglan.evaluation.metric_values import MetricKey
from mmglan.evaluation.protocols import FROC_FPS, RECALL_FPS, SEN_FP, Criterion, Protocol
from mmglan.evaluation.resampling.resampled_curves import WeightedFROC, WeightedPrecision

# Short axis in mm, lower end included; 10 mm is the usual limit for an enlarged node.
STRATA_MM = {
    "< 10 mm": (0.0, 10.0),
    "10-20 mm": (10.0, float(np.nextafter(20.0, 21.0))),
    "> 20 mm": (float(np.nextafter(20.0, 21.0)), 1e9),
}
OPERATING_FPS = tuple(sorted({*FROC_FPS, SEN_FP, *RECALL_FPS}))


class Metrics:
    """Keys and values of all metrics of a detection set under a protocol.

    Attributes:
        keys: F keys, in the order of the values.
        strata: Lesions by size stratum, small ones first; strata without lesions are left out.
        curves: FROC curve by criterion.
        matches: Matches by criterion.
        estimates: `(F,)` metrics of the test set itself.
    """

    def __init__(self, detections: DetectionSet, protocol: Protocol):
        self.detections = detections
        self.protocol = protocol
        self.keys: list[MetricKey] = []
        self.curves: dict[Criterion, FROCCurve] = {}
        self.matches: dict[Criterion, Matches] = {}
        self._parts: list[Callable[[np.ndarray], np.ndarray]] = []
        # Of a class there are too few lesions to divide them by size, too.
        by_size = detections.category is None
        self._members = _members_of_strata(detections.short_axis_mm) if by_size else {}
        self.strata = {name: int(members.sum()) for name, members in self._members.items()}
        self._add_average_precision()
        for criterion in protocol.criteria(detections.dims):
            self._add_froc(criterion)
        self.estimates = self.values(np.ones((detections.n_patients, 1)))[:, 0]

    @property
    def names(self) -> list[str]:
        """Names of the keys."""
        return [key.name for key in self.keys]

    def values(self, weights: np.ndarray) -> np.ndarray:
        """Compute the metrics of reweighted test sets.

        Args:
            weights: `(P, B)` how often each patient counts.

        Returns:
            np.ndarray: `(F, B)`; NaN where a metric is not defined.
        """
        return np.concatenate([part(weights) for part in self._parts])

    def weighted_curve(self, criterion: Criterion) -> WeightedFROC:
        """Return the whole FROC curve as a function of weights, for confidence bands."""
        return WeightedFROC(self.detections, self.matches[criterion])

    def _key(self, metric, criterion, point=None, stratum=None):
        category = self.detections.category
        return MetricKey(self.detections.kind, metric, criterion, point, stratum, category)

    def _add(self, keys, part):
        self.keys += keys
        self._parts.append(part)

    def _add_average_precision(self):
        ranking = coco_ranking(self.detections, AP_THRESHOLDS, self._members)
        weighted = WeightedPrecision(self.detections, ranking)
        place = {name: number for number, name in enumerate(ranking.verdicts)}
        keys, rows, steps = [], [], {}
        for threshold in AP_THRESHOLDS:
            criterion = Criterion("iou", threshold)
            for name in (None, *self._members):
                if self._has_steps(criterion):
                    steps[len(keys)] = self._steps(criterion, name)
                keys.append(self._key("AP", criterion, stratum=name))
                rows.append((place[threshold, name], 0))
                if name is None:
                    keys.append(self._key("mRecall", criterion))
                    rows.append((place[threshold, name], 1))

        def values(weights):
            found = weighted.values(weights)[tuple(np.transpose(rows))]
            for row, area in steps.items():
                found[row] = area(weights)
            return found

        self._add(keys, values)
        if self.detections.dims == 2:
            mean = WeightedPrecision(
                self.detections, coco_ranking(self.detections, COCO_THRESHOLDS)
            )
            self._add([self._key("mAP", None)], lambda w: mean.values(w)[:, 0].mean(axis=0)[None])

    def _has_steps(self, criterion: Criterion) -> bool:
        """Whether AP at a criterion is the area under the protocol's own steps."""
        own = criterion in self.protocol.criteria(self.detections.dims)
        return own and self.protocol.average_precision == "step"

    def _steps(self, criterion: Criterion, stratum: str | None):
        """Return the area under the steps as a function of weights, `(P, B)` to `(B,)`."""
        matches = self.detections.match(criterion, self.protocol)
        subsets = []
        if stratum is not None:
            members = self._members[stratum]
            subsets.append((matches.found_by[members], self.detections.gt_image[members]))
        curve = WeightedFROC(self.detections, matches, subsets)
        return lambda weights: curve.average_precision(weights)[-1]

    def _add_froc(self, criterion: Criterion):
        detections, protocol = self.detections, self.protocol
        matches = detections.match(criterion, protocol)
        self.matches[criterion] = matches
        self.curves[criterion] = curve_of(
            matches, detections.scores, detections.n_images, detections.n_lesions
        )
        subsets = [
            (matches.found_by[members], detections.gt_image[members])
            for members in self._members.values()
        ]
        keys = [
            *(self._key("FROC", criterion, fp) for fp in FROC_FPS),
            self._key("SEN", criterion, SEN_FP),
            *(self._key("recall", criterion, fp) for fp in RECALL_FPS),
            self._key("FROC_mean", criterion),
        ]
        if detections.dims == 3:
            keys.append(self._key("volumeSEN", criterion, SEN_FP))
            subsets.append(_volumes_found(detections, matches))
        for stratum in self._members:
            keys.append(self._key("SEN", criterion, SEN_FP, stratum))
            keys.append(self._key("FROC_mean", criterion, stratum=stratum))
        weighted = WeightedFROC(detections, matches, subsets)
        fps = (*FROC_FPS, SEN_FP, *RECALL_FPS)
        at_sen = len(FROC_FPS)

        def values(weights):
            found = weighted.at(weights, fps, protocol.interpolation)
            means = found[:, :at_sen].mean(axis=1)
            rows = [*found[0], means[0]]
            if detections.dims == 3:
                rows.append(found[-1, at_sen])
            for number in range(1, 1 + len(self._members)):
                rows += [found[number, at_sen], means[number]]
            return np.stack(rows)

        self._add(keys, values)


def _members_of_strata(short_axis_mm: np.ndarray) -> dict[str, np.ndarray]:
    """Find the lesions of each size stratum that has any, `(M,)` bool."""
    members = {
        name: (short_axis_mm >= low) & (short_axis_mm < high)
        for name, (low, high) in STRATA_MM.items()
    }
    return {name: inside for name, inside in members.items() if inside.any()}


def _volumes_found(detections: DetectionSet, matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Take volumes with lesions as lesions, each with the first prediction that finds one in it."""
    rank = np.full(len(matches.order) + 1, len(matches.order))
    rank[matches.order] = np.arange(len(matches.order))
    volumes, place = np.unique(detections.gt_image, return_inverse=True)
    first = np.full(len(volumes), len(matches.order))
    np.minimum.at(first, place, rank[matches.found_by])
    return np.append(matches.order, -1)[first], volumes
