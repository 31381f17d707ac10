"""Weighted metrics equal metrics of test sets that are really resampled."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mmglan.detections.box_overlaps import Pairs
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.evaluation.detection_sets.detection_set import DetectionSet, pooled, rank_scores
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.detection_sets.detection_set_3d import detection_set_of_boxes
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import PROTOCOLS, Criterion, Protocol
from mmglan.evaluation.resampling.bootstrap import patient_weights


def resample(detections: DetectionSet, weights: np.ndarray) -> DetectionSet:
    """Copies images as often as their patient was drawn; every copy is an image of its own."""
    images = np.repeat(np.arange(detections.n_images), weights[detections.patient].astype(int))
    preds = [np.flatnonzero(detections.pred_image == image) for image in images]
    lesions = [np.flatnonzero(detections.gt_image == image) for image in images]

    def copied(pairs):
        parts, pred_start, gt_start = [], 0, 0
        for image, pred, gt in zip(images, preds, lesions, strict=True):
            inside = np.flatnonzero(detections.pred_image[pairs.pred] == image)
            parts.append(
                (
                    np.searchsorted(pred, pairs.pred[inside]) + pred_start,
                    np.searchsorted(gt, pairs.gt[inside]) + gt_start,
                    pairs.overlap[inside],
                )
            )
            pred_start, gt_start = pred_start + len(pred), gt_start + len(gt)
        return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def numbered(groups):
        return np.repeat(np.arange(len(groups)), [len(group) for group in groups])

    return replace(
        detections,
        patient=np.arange(len(images)),
        scores=detections.scores[np.concatenate(preds)],
        pred_image=numbered(preds),
        gt_image=numbered(lesions),
        overlaps={kind: copied(pairs) for kind, pairs in detections.overlaps.items()},
        short_axis_mm=detections.short_axis_mm[np.concatenate(lesions)],
    )


def some_detections(coco_set, seed, tied=False, dims=2, **options):
    ann, boxes, _ = coco_set(seed, tied=tied, **options)
    gt = read_ground_truth(ann)
    rows = group_results(json.loads(boxes.read_text()), gt)
    rules = (Criterion("iobb", 0.3), Criterion("centre"), Criterion("radius"))
    detections = detection_set_of_images(gt, rows, "bbox", Protocol("all", rules, rules))
    return replace(detections, dims=dims, kind="bbox3d" if dims == 3 else "bbox")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dims", [2, 3])
def test_equals_real_resampling(coco_set, protocol, dims):
    detections = some_detections(coco_set, 3, dims=dims)
    metrics = Metrics(detections, PROTOCOLS[protocol])
    without_one = np.ones((detections.n_patients, detections.n_patients)) - np.eye(
        detections.n_patients
    )
    weights = np.hstack([patient_weights(detections.n_patients, 6, seed=1), without_one[:, :2]])
    values = metrics.values(weights)
    assert np.isfinite(values).mean() > 0.9
    for column in range(weights.shape[1]):
        real = Metrics(resample(detections, weights[:, column]), PROTOCOLS[protocol])
        expected = dict(zip(real.names, real.estimates, strict=True))
        for name, value in zip(metrics.names, values[:, column], strict=True):
            # A stratum that was not drawn has no lesions, so no metric.
            assert value == pytest.approx(expected.get(name, np.nan), abs=1e-9, nan_ok=True), name


def test_froc_with_tied_scores_equals_real_resampling(coco_set):
    """Tied scores of different patients: FROC does not depend on an order, AP does (COCO's)."""
    detections = some_detections(coco_set, 5, tied=True)
    for protocol in (PROTOCOLS["deeplesion"], replace(PROTOCOLS["picai"], name="step")):
        metrics = Metrics(detections, protocol)
        weights = patient_weights(detections.n_patients, 5, seed=2)
        values = metrics.values(weights)
        for column in range(weights.shape[1]):
            real = Metrics(resample(detections, weights[:, column]), protocol)
            for name, value in zip(metrics.names, values[:, column], strict=True):
                if "AP" not in name and "mRecall" not in name and name in real.names:
                    expected = real.estimates[real.names.index(name)]
                    assert value == pytest.approx(expected, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize("duplicates", ["ignore", "fp"])
def test_weights_of_one_give_the_metrics_themselves(coco_set, duplicates):
    detections = some_detections(coco_set, 6, tied=True)
    metrics = Metrics(detections, replace(PROTOCOLS["deeplesion"], duplicates=duplicates))
    ones = metrics.values(np.ones((detections.n_patients, 1)))[:, 0]
    assert np.allclose(ones, metrics.estimates, rtol=0, atol=1e-12, equal_nan=True)
    for criterion, curve in metrics.curves.items():
        place = metrics.names.index(f"bbox_FROC{criterion.label}_fp0.5")
        assert ones[place] == pytest.approx(curve.at(0.5), abs=1e-12)
        whole = metrics.weighted_curve(criterion).at(np.ones((detections.n_patients, 1)), curve.fp)[
            0
        ]
        assert np.allclose(whole[:, 0], curve.at(curve.fp), rtol=0, atol=1e-12)


def test_ranks_change_no_metric(coco_set):
    detections = some_detections(coco_set, 8)
    protocol = PROTOCOLS["deeplesion"]
    plain, ranked = Metrics(detections, protocol), Metrics(rank_scores(detections), protocol)
    assert np.array_equal(plain.estimates, ranked.estimates, equal_nan=True)
    scaled = rank_scores(replace(detections, scores=detections.scores / 10))
    assert np.array_equal(scaled.scores, rank_scores(detections).scores)


def test_pool_holds_both(coco_set):
    first = some_detections(coco_set, 9)
    second = some_detections(coco_set, 10)
    protocol = PROTOCOLS["deeplesion"]
    both = Metrics(pooled(first, second), protocol)
    count = first.n_patients
    weights = np.zeros((2 * count, 2))
    weights[:count, 0] = 1
    weights[count:, 1] = 1
    values = both.values(weights)
    for column, detections in enumerate((first, second)):
        alone = Metrics(detections, protocol)
        for name, value in zip(alone.names, alone.estimates, strict=True):
            found = values[both.names.index(name), column]
            assert found == pytest.approx(value, abs=1e-12, nan_ok=True)


def picai_set(lesions, found):
    """Detection set of images of 3D boxes 10 wide, at x: lesions, and (x, score) found."""

    def cubes(places):
        return [[x, 0, 0, x + 10, 10, 10] for x in places]

    gt = [np.reshape(cubes(places), (-1, 6)) for places in lesions]
    rows = [[[*cubes([x])[0], score] for x, score in one] for one in found]
    rows = [np.reshape(one, (-1, 7)) for one in rows]
    sizes = np.full(sum(map(len, gt)), np.nan)
    return detection_set_of_boxes(rows, gt, np.arange(len(gt)), sizes)


@pytest.mark.parametrize(
    ("lesions", "found", "expected"),
    [
        # True, false, true: 1/2 x 1 + 1/2 x 2/3.
        ([[0, 50]], [[(0, 0.9), (200, 0.8), (50, 0.7)]], 5 / 6),
        # A true and a false one of equal score: one lesion of two, precision 1/2.
        ([[0, 50]], [[(0, 0.9), (200, 0.9)]], 1 / 4),
        # The left-over one reaches the lesion: neither true nor false.
        ([[0], [0]], [[(0, 0.8), (2, 0.9)], [(0, 0.7)]], 1.0),
        # The assignment goes by overlap, not by score: the lesion is found at 0.6, after the false
        # one.
        ([[0]], [[(0, 0.6), (2, 0.9), (200, 0.8)]], 1 / 2),
        ([[0]], [[]], 0.0),
        ([[]], [[(0, 0.5)]], None),
    ],
)
def test_average_precision_of_picai_by_hand(lesions, found, expected):
    detections = picai_set(lesions, found)
    evaluation = evaluate_detections([detections], "picai")
    value = evaluation["bbox3d_AP10"].value
    assert value == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_average_precision_of_resamples_by_hand():
    # Patient 0: true 0.9, false 0.8. Patient 1: true 0.7, one lesion missed.
    detections = picai_set([[0], [0, 50]], [[(0, 0.9), (200, 0.8)], [(0, 0.7)]])
    metrics = Metrics(detections, PROTOCOLS["picai"])
    weights = np.array([[1, 0, 2, 0], [1, 1, 1, 2]])
    place = metrics.names.index("bbox3d_AP10")
    expected = [(1 + 2 / 3) / 3, 1 / 2, (2 + 3 / 5) / 4, 1 / 2]
    assert metrics.values(weights)[place] == pytest.approx(expected, abs=1e-12)
