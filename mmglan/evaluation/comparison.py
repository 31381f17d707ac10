"""Paired comparison of two detectors on the same patients.

Letters: P patients, F figures, B resamples or permutations.
"""

from __future__ import annotations

import numpy as np

from mmglan.evaluation.bootstrap import bca_interval, leave_one_out, patient_weights, resampled
from mmglan.evaluation.bootstrap import percentile_interval as percentile
from mmglan.evaluation.detection_set import DetectionSet, pooled, rank_scores
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import Protocol, get_protocol


def compare(
    first: DetectionSet,
    second: DetectionSet,
    protocol: str | Protocol = "deeplesion",
    *,
    bootstrap: int = 1000,
    permutations: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    method: str = "bca",
) -> dict[str, dict]:
    """Differences `first - second` of all figures, with intervals and p-values.

    The interval resamples patients and takes both detectors' results of each drawn patient, so
    what makes a patient hard for both cancels. The p-value is that of a permutation test: if the
    detectors were the same, their results of any patient could be exchanged; each permutation
    exchanges them for a random half of the patients. It is two-sided, the share of permutations
    with a difference at least as large as the one found, which counts as one of them
    (Phipson & Smyth 2010). Before results are mixed, scores are replaced by their rank (predictions
    per image at least as certain), which changes no figure of either detector but makes scores on
    different scales exchangeable.

    Args:
        first: DetectionSet of detector A.
        second: DetectionSet of detector B, same kind, images, patients and lesions.
        protocol: Preset's name or a protocol.
        bootstrap: B for the intervals.
        permutations: B for the p-values.
        seed: Of both.
        level: Confidence level.
        method: `'bca'` or `'percentile'`.

    Returns:
        dict: By figure (`bbox_SEN25`): `first`, `second`, `difference`, `low`, `high`, `level`,
        `method`, `n`, `p_value`, `permutations`.

    Raises:
        ValueError: The detectors were not run on the same test set.
    """
    protocol = get_protocol(protocol)
    if (
        first.kind != second.kind
        or not np.array_equal(first.patient, second.patient)
        or not np.array_equal(first.gt_image, second.gt_image)
    ):
        raise ValueError(
            "Expected two detectors on the same images and lesions but got "
            + _difference(first, second)
        )
    figures = Metrics(pooled(rank_scores(first), rank_scores(second)), protocol)
    count = first.n_patients

    def differences(weights_of_first, weights_of_second):
        one = figures.values(np.vstack([weights_of_first, weights_of_second]))
        other = figures.values(np.vstack([weights_of_second, weights_of_first]))
        return one, other, one - other

    ones, none = np.ones((count, 1)), np.zeros((count, 1))
    value_first, value_second, found = (part[:, 0] for part in differences(ones, none))
    drawn = patient_weights(count, bootstrap, seed)
    samples = resampled(lambda w: differences(w, np.zeros_like(w))[2], drawn)
    jackknife = leave_one_out(lambda w: differences(w, np.zeros_like(w))[2], count)
    generator = np.random.default_rng([seed, 1])
    kept = generator.integers(0, 2, (count, permutations)).astype(np.float64)
    exchanged = differences(kept, 1 - kept)[2]

    in_strata = {place for places in figures.strata_names.values() for place in places.values()}
    results = {}
    for index, name in enumerate(figures.names):
        if index in in_strata:
            continue
        plain = percentile(samples[index], level)
        interval = (
            plain
            if method == "percentile"
            else bca_interval(found[index], samples[index], jackknife[index], level)
        )
        results[f"{first.kind}_{name}"] = {
            "first": float(value_first[index]),
            "second": float(value_second[index]),
            "difference": float(found[index]),
            "low": interval.low,
            "high": interval.high,
            "level": level,
            "method": interval.method,
            "n": interval.n,
            "percentile": [plain.low, plain.high],
            "p_value": permutation_p(found[index], exchanged[index]),
            "permutations": permutations,
        }
    return results


def permutation_p(found: float, exchanged: np.ndarray) -> float:
    """Two-sided p-value of a difference among `(B,)` differences under exchange.

    Differences that are equal up to rounding count as equal. Without a difference under exchange
    there is no p-value (NaN).
    """
    exchanged = exchanged[np.isfinite(exchanged)]
    if not np.isfinite(found) or not len(exchanged):
        return float("nan")
    as_large = np.sum(np.abs(exchanged) >= abs(found) - 1e-12)
    return float((as_large + 1) / (len(exchanged) + 1))


def _difference(first, second) -> str:
    """How the test sets of two detectors differ."""
    if first.kind != second.kind:
        return f"{first.kind} and {second.kind}"
    if (first.n_images, first.n_lesions) == (second.n_images, second.n_lesions):
        return f"{first.n_images} images of other patients or with the lesions on other images"
    return (
        f"{first.n_images} and {second.n_images} images, "
        f"{first.n_lesions} and {second.n_lesions} lesions"
    )
