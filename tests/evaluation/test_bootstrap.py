"""Intervals against scipy's own bootstrap, and detections that have none."""

from __future__ import annotations

import doctest
import json

import numpy as np
import pytest
from scipy import stats

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import PROTOCOLS
from mmglan.evaluation.resampling import bootstrap as module
from mmglan.evaluation.resampling.bootstrap import (
    bca_interval,
    bootstrap,
    leave_out,
    patient_weights,
    percentile_interval,
    weight_blocks,
)
from mmglan.evaluation.resampling.comparison import compare_detections


def test_worked_example():
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_weights_are_draws_and_repeatable():
    weights = patient_weights(7, 500, seed=3)
    assert weights.shape == (7, 500)
    assert (weights.sum(axis=0) == 7).all() and (weights == weights.round()).all()
    assert np.array_equal(weights, patient_weights(7, 500, seed=3))
    assert not np.array_equal(weights, patient_weights(7, 500, seed=4))
    for block in (2, 512):
        left_out = leave_out(lambda weights: weights, 3, block)
        assert left_out.tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert patient_weights(0, 5).shape == (0, 5) and patient_weights(3, 0).shape == (3, 0)
    blocks = list(weight_blocks(7, 500, seed=3, block=199))
    assert [one.shape for one in blocks] == [(7, 199), (7, 199), (7, 102)]
    assert np.array_equal(np.hstack(blocks), weights)


def test_many_patients_are_left_out_in_groups():
    # Five patients in two groups, 0 2 4 and 1 3.
    left_out = leave_out(lambda weights: weights, 5, groups=2)
    assert left_out.T.tolist() == [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]]
    data = np.random.default_rng(2).exponential(size=2500)

    def mean(weights):
        return (data @ weights / weights.sum(axis=0))[None]

    assert leave_out(mean, 2500).shape == (1, 1000)
    samples = module.resampled(mean, 2500, 2000)[0]
    grouped, single = (
        bca_interval(data.mean(), samples, leave_out(mean, 2500, groups=groups)[0])
        for groups in (1000, 2500)
    )
    width = single.high - single.low
    assert grouped.method == single.method == "bca"
    assert abs(grouped.low - single.low) < 0.03 * width
    assert abs(grouped.high - single.high) < 0.03 * width


def test_percentile_intervals_need_no_jackknife():
    columns = []

    def mean(weights):
        columns.append(weights.shape[1])
        return weights[:1] * 1.0

    bootstrap(mean, 4, n=300, method="percentile")
    assert columns == [128, 128, 44]


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_equals_scipy(method):
    """Same data, same resamples: scipy's resamples are turned into weights."""
    data = np.random.default_rng(1).exponential(size=25)
    expected = stats.bootstrap(
        (data,),
        np.mean,
        n_resamples=2000,
        method="BCa" if method == "bca" else method,
        rng=np.random.default_rng(5),
    )
    samples = expected.bootstrap_distribution
    jackknife = np.array([np.delete(data, i).mean() for i in range(25)])
    if method == "bca":
        ours = bca_interval(data.mean(), samples, jackknife)
    else:
        ours = percentile_interval(samples)
    assert ours.low == pytest.approx(expected.confidence_interval.low, abs=1e-9)
    assert ours.high == pytest.approx(expected.confidence_interval.high, abs=1e-9)
    assert (ours.method, ours.n, ours.level) == (method, 2000, 0.95)


@pytest.mark.parametrize("name", ["FROC25_mean", "AP25", "SEN50"])
def test_metrics_equal_scipy_with_patients_as_units(coco_set, name):
    """scipy resamples patients' numbers and computes the metric of each resample itself."""
    ann, boxes, _ = coco_set(3, n_images=60)
    gt = read_ground_truth(ann)
    rows = group_results(json.loads(boxes.read_text()), gt)
    detections = detection_set_of_images(gt, rows, "bbox")
    metrics = Metrics(detections, PROTOCOLS["deeplesion"])
    place, count = metrics.names.index(f"bbox_{name}"), detections.n_patients

    def metric(patients, axis=-1):
        drawn = np.asarray(patients, int).reshape(-1, patients.shape[-1])
        weights = np.array([np.bincount(row, minlength=count) for row in drawn], float).T
        return metrics.values(weights)[place].reshape(patients.shape[:-1])

    expected = stats.bootstrap(
        (np.arange(count),), metric, n_resamples=200, method="BCa", rng=np.random.default_rng(1)
    )
    jackknife = leave_out(metrics.values, count)[place]
    ours = bca_interval(metrics.estimates[place], expected.bootstrap_distribution, jackknife)
    assert ours.method == "bca"
    assert ours.low == pytest.approx(expected.confidence_interval.low, abs=1e-9)
    assert ours.high == pytest.approx(expected.confidence_interval.high, abs=1e-9)


def test_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for repeat in range(200):
        data = rng.exponential(size=40)

        def mean(weights, data=data):
            return (data @ weights / weights.sum(axis=0))[None]

        (interval,) = bootstrap(mean, 40, n=400, seed=repeat, level=0.9)
        inside += interval.low <= 1 <= interval.high
    assert 0.82 <= inside / 200 <= 0.95


def test_where_bca_is_not_defined():
    same = bca_interval(1.0, np.ones(50), np.ones(5))
    assert (same.low, same.high, same.method) == (1, 1, "percentile")
    one_side = bca_interval(2.0, np.linspace(0, 1, 50), np.array([1.9, 2.1]))
    assert one_side.method == "percentile"
    nothing = bca_interval(np.nan, np.full(50, np.nan), np.full(5, np.nan))
    assert np.isnan(nothing.low) and nothing.n == 0
    some = percentile_interval(np.array([np.nan, 0.0, 1.0]))
    assert some.n == 2 and 0 <= some.low < some.high <= 1


def test_rounding_does_not_decide_about_ties():
    """A resample that is the test set itself, summed in another order, is a tie."""
    values = np.array([0.1, 0.2, 0.3, 0.4])
    samples = np.random.default_rng(0).choice(values, 999)
    jackknife = np.array([0.2, 0.3, 0.35])
    exact = bca_interval(0.3, samples, jackknife)
    noise = np.random.default_rng(1).choice([-1e-16, 0, 1e-16], 999)
    shaken = bca_interval(0.3, samples + noise, jackknife)
    assert shaken.method == exact.method == "bca"
    assert [shaken.low, shaken.high] == pytest.approx([exact.low, exact.high], abs=1e-12)
    alike = bca_interval(0.3, samples, 0.3 + np.array([1e-16, 0, -1e-16, 1e-16]))
    assert alike.method == "percentile"


def test_metrics_that_are_ties_up_to_rounding(coco_set):
    """mAP of the test set is COCO's, of resamples a weighted sum: three patients, many ties."""
    ann, boxes, _ = coco_set(4, n_images=6, per_patient=2)
    gt = read_ground_truth(ann)
    rows = group_results(json.loads(boxes.read_text()), gt)
    metrics = Metrics(detection_set_of_images(gt, rows, "bbox"), PROTOCOLS["deeplesion"])
    place = metrics.names.index("bbox_mAP")
    samples = metrics.values(patient_weights(3, 1000))[place]
    estimate, jackknife = metrics.estimates[place], leave_out(metrics.values, 3)[place]
    snapped = np.where(np.abs(samples - estimate) < 1e-12, estimate, samples)
    ours, exact = (bca_interval(estimate, one, jackknife) for one in (samples, snapped))
    assert (snapped == estimate).sum() > 100
    assert (ours.low, ours.high) == (pytest.approx(exact.low), pytest.approx(exact.high))


def test_one_patient_has_no_interval(coco_set):
    """All resamples of one patient are the same: an interval of no width would look certain."""
    ann, boxes, _ = coco_set(0, per_patient=24)
    gt = read_ground_truth(ann)
    detections = detection_set_of_images(
        gt, group_results(json.loads(boxes.read_text()), gt), "bbox"
    )
    evaluation = evaluate_detections([detections], bootstrap=20)
    assert evaluation.size.n_patients == 1 and evaluation["bbox_AP25"].value > 0
    assert {value.interval for value in evaluation.values} == {None}
    assert {curve.band for curve in evaluation.curves} == {None}
    found = compare_detections(detections, detections, bootstrap=20, permutations=20)
    assert found["bbox_AP25"].interval is None and found["bbox_AP25"].p_value == 1
    (only,) = bootstrap(lambda weights: weights[:1] * 3, 1, n=20)
    assert np.isnan([only.low, only.high, *only.percentile]).all() and only.n == 0


@pytest.mark.parametrize("options", [{"method": "normal"}, {"level": 1.0}])
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match="Expected"):
        bootstrap(lambda weights: weights[:1], 3, **options)
