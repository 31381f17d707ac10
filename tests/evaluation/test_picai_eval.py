"""The `picai` protocol against the challenge's own evaluator, where picai_eval is installed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mmglan.evaluation.detection_sets.detection_set_3d import (
    detection_set_of_instances,
    instances_of_labels,
)
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import FROC_FPS, PROTOCOLS, Criterion

picai = pytest.importorskip("picai_eval.eval")
EVERY_NEIGHBOUR = np.ones((3, 3, 3))


def random_case(rng):
    """One volume: true lesions, and a detection map with one confidence per candidate."""
    true, candidates = (np.zeros((6, 24, 24), bool) for _ in range(2))
    for _ in range(rng.integers(0, 4)):
        corner = rng.integers(0, (3, 14, 14))
        sides = [slice(at, at + size) for at, size in zip(corner, (3, 8, 8), strict=True)]
        true[tuple(sides)] = True
        for _ in range(rng.integers(0, 3)):
            size = (3, *rng.integers(4, 9, 2))
            moved = np.clip(corner + rng.integers(-2, 5, 3), 0, 22)
            candidates[tuple(slice(at, at + s) for at, s in zip(moved, size, strict=True))] = True
        # Cuts a candidate into several on one lesion.
        candidates[:, :, rng.integers(0, 24)] = False
    for z, y, x in rng.integers(0, (6, 24, 24), (rng.integers(0, 3), 3)):
        candidates[z, y, x] = True
    true = ndimage.label(true, structure=EVERY_NEIGHBOUR)[0]
    labels, count = ndimage.label(candidates, structure=EVERY_NEIGHBOUR)
    # Few values, so that scores are often equal.
    return true, labels, rng.integers(1, 10, count) / 16


@pytest.mark.parametrize(("seed", "n_cases"), [(0, 500), *((seed, 6) for seed in range(1, 9))])
def test_equals_picai_eval(seed, n_cases):
    rng = np.random.default_rng(seed)
    cases = [random_case(rng) for _ in range(n_cases)]
    maps = [np.append(0, scores)[labels] for _, labels, scores in cases]
    truth = [(true > 0).astype(np.int32) for true, *_ in cases]
    theirs = picai.evaluate(y_det=maps, y_true=truth, num_parallel_calls=1, verbose=0)
    instances = [
        instances_of_labels(labels, true, dict(enumerate(scores, 1)))
        for true, labels, scores in cases
    ]
    unknown = np.full(sum(len(one.gt) for one in instances), np.nan)
    metrics = Metrics(
        detection_set_of_instances(instances, np.arange(n_cases), unknown), PROTOCOLS["picai"]
    )
    value = dict(zip(metrics.names, metrics.estimates, strict=True))
    assert value["segm3d_AP10"] > (0.1 if n_cases == 500 else -1)
    assert value["segm3d_AP10"] == pytest.approx(theirs.AP, abs=1e-12)
    curve = metrics.curves[Criterion("iou", 0.1)]
    assert curve.n_lesions == theirs.num_lesions
    ours = curve.at(FROC_FPS, "step")
    # Theirs are of single precision.
    assert ours == pytest.approx([theirs.lesion_TPR_at_FPR(fp) for fp in FROC_FPS], abs=1e-6)
