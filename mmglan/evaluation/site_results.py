"""Results by site (node type): how many lesions of each are found, at all operating points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmglan.detections.coco_files import GroundTruth
from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.protocols import FROC_FPS, SEN_FP, Protocol
from mmglan.evaluation.resampling.bootstrap import Interval, bootstrap
from mmglan.evaluation.resampling.resampled_curves import WeightedFROC

ALL_SITES = "all"
NO_SITE = "unspecified"
# False positives per image of the curves: the operating points, and what lies between them.
CURVE_FPS = tuple(sorted({*FROC_FPS, SEN_FP, *np.geomspace(1 / 8, 8, 49).tolist()}))
HEADER = (
    *("kind", "criterion", "site", "lesions", *(f"sensitivity_fp{fp:g}" for fp in FROC_FPS)),
    *("FROC_mean", "low", "high", f"sensitivity_fp{SEN_FP:g}"),
)


@dataclass(frozen=True)
class SiteResult:
    """Sensitivity for the lesions of one site.

    Attributes:
        kind: `bbox` or `segm`.
        criterion: In words.
        site: Name, or `ALL_SITES`.
        n_lesions: How many there are.
        sensitivity: At `CURVE_FPS` false positives per image.
        mean: Over the operating points of FROC.
        interval: Of the mean; None where none was asked for or there is none.
    """

    kind: str
    criterion: str
    site: str
    n_lesions: int
    sensitivity: tuple[float, ...]
    mean: float
    interval: Interval | None

    def at(self, fp: float) -> float:
        """Return the sensitivity at an operating point."""
        return self.sensitivity[CURVE_FPS.index(fp)]

    def row(self) -> tuple:
        """Return the row of the table; see `HEADER`."""
        ends = ("", "") if self.interval is None else (self.interval.low, self.interval.high)
        points = (self.at(fp) for fp in FROC_FPS)
        named = (self.kind, self.criterion, self.site, self.n_lesions)
        return (*named, *points, self.mean, *ends, self.at(SEN_FP))


def sites_of(gt: GroundTruth) -> list[str]:
    """Return the site of each lesion, image by image; `NO_SITE` where a lesion names none.

    Raises:
        ValueError: No lesion names its site.
    """
    sites = [one.get("site") for lesions in gt.lesions for one in lesions]
    if not any(sites):
        raise ValueError(
            f"{gt.name}: Expected lesions with `site` but none names it; give prepare bookmarks "
            "with a column of sites"
        )
    return [str(site or NO_SITE) for site in sites]


def site_results(
    sets: Iterable[DetectionSet],
    sites: Sequence[str],
    protocol: Protocol,
    *,
    n: int = 0,
    seed: int = 0,
    level: float = 0.95,
    method: str = "bca",
) -> Iterator[SiteResult]:
    """Yield the results of all lesions, then of each site, the most frequent first.

    The false positives are those of the whole test set: a detection that finds a lesion of another
    site is none.

    Args:
        sets: Detections on images.
        sites: Of the lesions, see `sites_of`.
        protocol: Criteria and matching.
        n, seed, level, method: Of the intervals, see `bootstrap`; n = 0 for none.
    """
    counts = Counter(sites)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    for detections in sets:
        for criterion in protocol.criteria(detections.dims):
            matches = detections.match(criterion, protocol)
            members = [np.array([site == name for site in sites]) for name in names]
            subsets = [(matches.found_by[one], detections.gt_image[one]) for one in members]
            curve = WeightedFROC(detections, matches, subsets)

            def means(weights, curve=curve):
                return curve.at(weights, FROC_FPS, protocol.interpolation).mean(axis=1)

            once = np.ones((detections.n_patients, 1))
            points = curve.at(once, CURVE_FPS, protocol.interpolation)[:, :, 0]
            estimates, patients = means(once)[:, 0], detections.n_patients
            intervals: list[Interval | None] = [None] * len(estimates)
            if n:
                options = dict(n=n, seed=seed, level=level, method=method)
                intervals = bootstrap(means, patients, estimates=estimates, **options)
            for place, name in enumerate((ALL_SITES, *names)):
                interval = intervals[place]
                yield SiteResult(
                    detections.kind,
                    criterion.words,
                    name,
                    counts[name] if place else len(sites),
                    tuple(points[place].tolist()),
                    float(estimates[place]),
                    interval if interval is not None and interval.n else None,
                )
