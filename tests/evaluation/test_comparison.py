"""Paired comparison: differences, what pairing gains, and honest p-values."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.evaluation.detection_sets.detection_set import pooled, rank_scores
from mmglan.evaluation.detection_sets.detection_set_2d import detection_set_of_images
from mmglan.evaluation.metrics import Metrics
from mmglan.evaluation.protocols import PROTOCOLS
from mmglan.evaluation.resampling.comparison import compare_detections, permutation_p


def detections_of(ann, rows):
    gt = read_ground_truth(ann)
    return detection_set_of_images(gt, group_results(rows, gt), "bbox")


def test_differences_and_direction(coco_set):
    ann, boxes, _ = coco_set(0, n_images=60)
    rows = json.loads(boxes.read_text())
    rng = np.random.default_rng(0)
    worse = [row | {"score": float(rng.random())} for row in rows if rng.random() < 0.3]
    good, bad = detections_of(ann, rows), detections_of(ann, worse)
    results = compare_detections(good, bad, bootstrap=100, permutations=200)
    protocol = PROTOCOLS["deeplesion"]
    alone = Metrics(good, protocol)
    for name, value in zip(alone.names, alone.estimates, strict=True):
        if "mm" not in name:
            assert results[name].first == pytest.approx(value, abs=1e-12)
    sen = results["bbox_SEN25"]
    assert sen.difference == pytest.approx(sen.first - sen.second)
    assert 0 < sen.interval.low < sen.difference < sen.interval.high
    assert sen.p_value <= 0.01
    turned = compare_detections(bad, good, bootstrap=100, permutations=20)["bbox_SEN25"]
    assert turned.difference == pytest.approx(-sen.difference)
    assert turned.interval.percentile == pytest.approx(
        tuple(-x for x in reversed(sen.interval.percentile))
    )


def test_of_several_runs_metrics_are_means(coco_set):
    ann, boxes, _ = coco_set(0, n_images=30)
    rows = json.loads(boxes.read_text())
    rng = np.random.default_rng(0)
    runs = [
        [detections_of(ann, [row for row in rows if rng.random() < share]) for _ in range(2)]
        for share in (0.9, 0.4)
    ]
    options = dict(bootstrap=50, permutations=50)
    both = compare_detections(*runs, **options)["bbox_SEN25"]
    alone = [compare_detections(*pair, **options)["bbox_SEN25"] for pair in zip(*runs, strict=True)]
    assert alone[0].difference != alone[1].difference
    for name in ("first", "second", "difference"):
        mean = np.mean([getattr(one, name) for one in alone])
        assert getattr(both, name) == pytest.approx(mean)
    assert both.interval.low < both.difference < both.interval.high
    with pytest.raises(ValueError, match="runs of both detectors but got 2 and 1"):
        compare_detections(runs[0], runs[1][:1], **options)


def test_no_p_value_depends_on_which_detector_is_named_first(coco_set):
    """Ranks of two detectors are often equal, and AP depends on the order of equal scores."""
    ann, boxes, _ = coco_set(3, n_images=15)
    rows = json.loads(boxes.read_text())
    rng = np.random.default_rng(0)
    other = [row | {"score": float(rng.random())} for row in rows if rng.random() < 0.8]
    one, two = (rank_scores(detections_of(ann, part)) for part in (rows, other))
    assert set(one.scores) & set(two.scores)
    kept = rng.integers(0, 2, (one.n_patients, 64)).astype(float)
    mixed = [
        Metrics(pooled(*sides), PROTOCOLS["deeplesion"]).values(np.vstack(weights))
        for sides, weights in (((one, two), (kept, 1 - kept)), ((two, one), (1 - kept, kept)))
    ]
    np.testing.assert_array_equal(*mixed)
    there = compare_detections(one, two, bootstrap=50, permutations=200)
    back = compare_detections(two, one, bootstrap=50, permutations=200)
    for found, turned in zip(there.differences, back.differences, strict=True):
        assert found.p_value == turned.p_value, found.name
        assert found.difference == pytest.approx(-turned.difference, abs=1e-12)
        assert [found.interval.low, found.interval.high] == pytest.approx(
            [-turned.interval.high, -turned.interval.low], abs=1e-9
        )


def test_detector_against_itself_and_on_another_scale(coco_set):
    ann, boxes, _ = coco_set(1)
    detections = detections_of(ann, json.loads(boxes.read_text()))
    same = compare_detections(
        detections, replace(detections, scores=detections.scores / 7), bootstrap=50, permutations=50
    )
    for found in same.differences:
        assert found.difference == found.interval.low == found.interval.high == 0
        assert found.p_value == 1


def test_permutations_are_exchanges_of_patients(coco_set):
    """With three patients, the p-value is that of all eight exchanges, made by hand."""
    ann, boxes, _ = coco_set(2, n_images=9)
    rows = json.loads(boxes.read_text())
    kept = [row for row in rows if row["image_id"] > 94 or row["score"] > 0.5]
    first, second = detections_of(ann, rows), detections_of(ann, kept)
    found = compare_detections(first, second, bootstrap=10, permutations=1200)["bbox_FROC25_mean"]
    gt = read_ground_truth(ann)
    patient = {image["id"]: image["patient_id"] for image in gt.images}
    n_images = len(gt.images)

    def ranked(part):
        scores = np.array([row["score"] for row in part])
        return [row | {"score": -float((scores >= row["score"]).sum()) / n_images} for row in part]

    sides = ranked(rows), ranked(kept)
    protocol = PROTOCOLS["deeplesion"]
    place = Metrics(first, protocol).names.index("bbox_FROC25_mean")
    names = sorted(set(patient.values()))
    assert len(names) == 3
    differences = []
    for choice in product([0, 1], repeat=3):
        values = []
        for side in (0, 1):
            mixed = [
                row
                for which in (0, 1)
                for row in sides[which]
                if (choice[names.index(patient[row["image_id"]])] ^ side) == which
            ]
            values.append(Metrics(detections_of(ann, mixed), protocol).estimates[place])
        differences.append(values[0] - values[1])
    assert differences[0] == pytest.approx(found.difference, abs=1e-12)
    exact = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12)
    assert found.p_value == pytest.approx(exact, abs=0.05)


def test_p_value_counts_the_difference_itself():
    assert permutation_p(0.5, np.array([0.1, -0.2, 0.3])) == 0.25
    assert permutation_p(0.3, np.array([0.1, -0.3, 0.3, np.nan])) == 0.75
    assert np.isnan(permutation_p(np.nan, np.zeros(3)))
    assert np.isnan(permutation_p(0.5, np.zeros(0)))


def test_other_test_set_is_refused(coco_set):
    one = detections_of(coco_set(0, "a")[0], [])
    other = detections_of(coco_set(1, "b")[0], [])
    turned = replace(one, gt_image=np.zeros_like(one.gt_image))
    with pytest.raises(ValueError, match="with the lesions on other images"):
        compare_detections(one, turned)
    with pytest.raises(ValueError, match="same images and lesions"):
        compare_detections(one, other)
