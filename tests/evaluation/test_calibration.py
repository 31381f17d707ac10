"""Calibration against curves and errors worked out by hand."""

import numpy as np
import pytest

from mmglan.detections.calibration import Calibration
from mmglan.evaluation.calibration import cross_fitted, fit_calibration, reliability


def test_isotonic_pools_neighbours_that_fall():
    # Shares 0, 1, 0, 1: the middle two violate the order and get their mean.
    curve = fit_calibration([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], "isotonic")
    assert curve([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]) == pytest.approx([0, 0, 0.5, 0.5, 1, 1])
    assert curve(0.7) == pytest.approx(0.75)


def test_equal_scores_share_a_probability():
    assert fit_calibration([0.5] * 4, [1, 0, 0, 0], "isotonic")(0.5) == pytest.approx(0.25)


def test_platt_finds_the_sigmoid_that_made_the_labels():
    random = np.random.default_rng(0)
    scores = random.uniform(0.01, 0.99, 20000)
    truth = 1 / (1 + np.exp(-(0.5 * np.log(scores / (1 - scores)) - 1)))
    curve = fit_calibration(scores, random.uniform(size=20000) < truth, "platt")
    assert np.abs(curve(scores) - truth).max() < 0.02


def test_platt_never_falls():
    curve = fit_calibration([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], "platt")
    assert curve(0.1) == pytest.approx(curve(0.9)) == pytest.approx(0.5)


def test_cross_validation_keeps_patients_apart():
    # All detections of a patient are of one kind, which no other patient has: who saw the patient
    # would know.
    scores = np.repeat([0.2, 0.4, 0.6, 0.8], 3)
    patient = np.repeat(np.arange(4), 3)
    lesion = np.repeat([1, 0, 1, 0], 3).astype(bool)
    found = cross_fitted(scores, lesion, patient, "isotonic", folds=4)
    for number in range(4):
        others = patient != number
        alone = fit_calibration(scores[others], lesion[others], "isotonic")
        assert found[~others] == pytest.approx(alone(scores[~others]))
    with pytest.raises(ValueError, match="two patients"):
        cross_fitted(scores[:3], lesion[:3], patient[:3], "platt")


def test_error_and_bins_by_hand():
    found = reliability([1.0, 0.95, 0.35, 0.05], [1, 0, 0, 0], [0, 1, 1, 2], n=50)
    # Bins: {1, .95} predicted .975 observed .5; {.35} and {.05} observed 0.
    assert [(b.count, b.observed) for b in found.bins] == [(1, 0), (1, 0), (2, 0.5)]
    assert found.error == pytest.approx((0.95 + 0.35 + 0.05) / 4)
    assert found.interval.low <= found.error <= found.interval.high
    assert reliability([0.5], [1], [0]).interval is None


@pytest.mark.parametrize(
    "table", [((0, 1), (1, 0)), ((1, 0), (0, 1)), ((0,), (0, 1)), ((), ()), ((0, 1), (0, 2))]
)
def test_no_curve(table):
    with pytest.raises(ValueError, match="Expected"):
        Calibration("isotonic", *table)
