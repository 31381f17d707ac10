"""Weighted figures equal figures of test sets that are really resampled."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from mmglan.detections.box_overlaps import Pairs
from mmglan.detections.coco_files import detection_set_of_images, group_results, read_ground_truth
from mmglan.evaluation.bootstrap import patient_weights
from mmglan.evaluation.detection_set import DetectionSet, pooled, rank_scores
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import PROTOCOLS


def resample(cases: DetectionSet, weights: np.ndarray) -> DetectionSet:
    """Copies images as often as their patient was drawn; every copy is an image of its own."""
    images = np.repeat(np.arange(cases.n_images), weights[cases.patient].astype(int))
    preds = [np.flatnonzero(cases.pred_image == image) for image in images]
    lesions = [np.flatnonzero(cases.gt_image == image) for image in images]

    def copied(pairs):
        parts, pred_start, gt_start = [], 0, 0
        for image, pred, gt in zip(images, preds, lesions, strict=True):
            inside = np.flatnonzero(cases.pred_image[pairs.pred] == image)
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
        cases,
        patient=np.arange(len(images)),
        scores=cases.scores[np.concatenate(preds)],
        pred_image=numbered(preds),
        gt_image=numbered(lesions),
        overlaps={kind: copied(pairs) for kind, pairs in cases.overlaps.items()},
        short_axis_mm=cases.short_axis_mm[np.concatenate(lesions)],
    )


def some_cases(coco_set, seed, tied=False, dims=2, **options):
    ann, boxes, _ = coco_set(seed, tied=tied, **options)
    gt = read_ground_truth(ann)
    rows = group_results(json.loads(boxes.read_text()), gt)
    cases = detection_set_of_images(gt, rows, "bbox", ("iobb", "centre", "radius"))
    return replace(cases, dims=dims, kind="bbox3d" if dims == 3 else "bbox")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dims", [2, 3])
def test_equals_real_resampling(coco_set, protocol, dims):
    cases = some_cases(coco_set, 3, dims=dims)
    figures = Metrics(cases, PROTOCOLS[protocol])
    without_one = np.ones((cases.n_patients, cases.n_patients)) - np.eye(cases.n_patients)
    weights = np.hstack([patient_weights(cases.n_patients, 6, seed=1), without_one[:, :2]])
    values = figures.values(weights)
    assert np.isfinite(values).mean() > 0.9
    for column in range(weights.shape[1]):
        real = Metrics(resample(cases, weights[:, column]), PROTOCOLS[protocol])
        expected = dict(zip(real.names, real.estimates, strict=True))
        for name, value in zip(figures.names, values[:, column], strict=True):
            # A stratum that was not drawn has no lesions, so no figure.
            assert value == pytest.approx(expected.get(name, np.nan), abs=1e-9, nan_ok=True), name


def test_froc_with_tied_scores_equals_real_resampling(coco_set):
    """Tied scores of different patients: FROC does not depend on an order, AP does (COCO's)."""
    cases = some_cases(coco_set, 5, tied=True)
    for protocol in (PROTOCOLS["deeplesion"], replace(PROTOCOLS["picai"], name="step")):
        figures = Metrics(cases, protocol)
        weights = patient_weights(cases.n_patients, 5, seed=2)
        values = figures.values(weights)
        for column in range(weights.shape[1]):
            real = Metrics(resample(cases, weights[:, column]), protocol)
            for name, value in zip(figures.names, values[:, column], strict=True):
                if "AP" not in name and "mRecall" not in name and name in real.names:
                    expected = real.estimates[real.names.index(name)]
                    assert value == pytest.approx(expected, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize("duplicates", ["ignore", "fp"])
def test_weights_of_one_give_the_figures_themselves(coco_set, duplicates):
    cases = some_cases(coco_set, 6, tied=True)
    figures = Metrics(cases, replace(PROTOCOLS["deeplesion"], duplicates=duplicates))
    ones = figures.values(np.ones((cases.n_patients, 1)))[:, 0]
    assert np.allclose(ones, figures.estimates, rtol=0, atol=1e-12, equal_nan=True)
    for criterion, curve in figures.curves.items():
        place = figures.names.index(f"FROC{criterion.label}_fp0.5")
        assert ones[place] == pytest.approx(curve.at(0.5), abs=1e-12)
        whole = figures.weighted_curve(criterion).at(np.ones((cases.n_patients, 1)), curve.fp)[0]
        assert np.allclose(whole[:, 0], curve.at(curve.fp), rtol=0, atol=1e-12)


def test_ranks_change_no_figure(coco_set):
    cases = some_cases(coco_set, 8)
    protocol = PROTOCOLS["deeplesion"]
    plain, ranked = Metrics(cases, protocol), Metrics(rank_scores(cases), protocol)
    assert np.array_equal(plain.estimates, ranked.estimates, equal_nan=True)
    scaled = rank_scores(replace(cases, scores=cases.scores / 10))
    assert np.array_equal(scaled.scores, rank_scores(cases).scores)


def test_pool_holds_both(coco_set):
    first = some_cases(coco_set, 9)
    second = some_cases(coco_set, 10)
    protocol = PROTOCOLS["deeplesion"]
    both = Metrics(pooled(first, second), protocol)
    count = first.n_patients
    weights = np.zeros((2 * count, 2))
    weights[:count, 0] = 1
    weights[count:, 1] = 1
    values = both.values(weights)
    for column, cases in enumerate((first, second)):
        alone = Metrics(cases, protocol)
        for name, value in zip(alone.names, alone.estimates, strict=True):
            found = values[both.names.index(name), column]
            assert found == pytest.approx(value, abs=1e-12, nan_ok=True)
