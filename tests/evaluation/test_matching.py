"""Matching: the one-to-one rule of PI-CAI against a search through all assignments."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from mmglan.detections.box_overlaps import Pairs, matrix_pairs
from mmglan.evaluation.matching import ASSIGNMENTS, match

MIN_IOU = 0.1


def matched(matrices, threshold=MIN_IOU):
    """Overlaps of the matched pairs of each image, by `match`."""
    pairs = matrix_pairs(matrices)
    n_pred = sum(len(matrix) for matrix in matrices)
    n_gt = sum(matrix.shape[1] for matrix in matrices)
    scores = np.linspace(1, 0, n_pred)
    found_by = match(
        pairs, scores, n_gt, threshold=threshold, assignment="optimal"
    ).found_by.tolist()
    result, first_pred, first_gt = [], 0, 0
    for matrix in matrices:
        finders = found_by[first_gt : first_gt + matrix.shape[1]]
        result.append(
            [matrix[pred - first_pred, lesion] for lesion, pred in enumerate(finders) if pred >= 0]
        )
        first_pred += len(matrix)
        first_gt += matrix.shape[1]
    return result


def best_of_all(matrix, threshold=MIN_IOU):
    """Overlaps of the assignment whose pairs have the greatest sum of 1 + overlap."""
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    best = []
    for rows in permutations(range(len(matrix)), matrix.shape[1]):
        some = [matrix[row, column] for column, row in enumerate(rows)]
        some = [overlap for overlap in some if overlap >= threshold]
        if len(some) + sum(some) > len(best) + sum(best):
            best = some
    return best


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        # 0.76 alone is more than 0.15 + 0.16, but finds one lesion of two.
        ([[0.76, 0.15], [0.16, 0.0]], [0.16, 0.15]),
        # Among assignments with two pairs the greater sum: 0.5 + 0.6, not 0.7 + 0.3.
        ([[0.5, 0.7], [0.3, 0.6]], [0.5, 0.6]),
        # A pair below the threshold is none: 0.09 does not count as a second match.
        ([[0.76, 0.09], [0.16, 0.0]], [0.76]),
        # As in picai_eval, 1.9 + 1.9 outweighs 1.1 + 1.1 + 1.1.
        ([[0.1, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 0.9, 0.1]], [0.9, 0.9]),
    ],
)
def test_optimal_assignment_by_hand(matrix, found):
    assert matched([np.array(matrix)]) == [found]


def test_optimal_assignment_equals_a_search_through_all():
    rng = np.random.default_rng(0)
    matrices = []
    for _ in range(5000):
        shape = rng.integers(1, 5, 2)
        matrices.append(rng.random(shape) * (rng.random(shape) < 0.7))
    for matrix, overlaps in zip(matrices, matched(matrices), strict=True):
        expected = best_of_all(matrix)
        assert len(overlaps) == len(expected)
        assert sum(overlaps) == pytest.approx(sum(expected), abs=1e-12)


def pairs_of(*rows):
    """Pairs from rows (prediction, lesion, overlap)."""
    pred, lesion, overlap = np.array(rows, dtype=float).reshape(-1, 3).T
    return Pairs(pred.astype(int), lesion.astype(int), overlap)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_best_prediction_may_stand_anywhere_and_the_rest_is_minus_one(assignment):
    pairs = pairs_of((1, 0, 0.6))
    found = match(pairs, np.array([0.1, 0.9, 0.5]), 3, threshold=0.5, assignment=assignment)
    assert found.found_by.tolist() == [1, -1, -1]
    assert found.hits.tolist() == [0, 1, 0]
    assert found.false_positive.tolist() == [True, False, True]


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_no_pair_at_all(assignment):
    found = match(pairs_of(), np.array([0.4, 0.5]), 2, threshold=0.5, assignment=assignment)
    assert found.found_by.tolist() == [-1, -1]
    assert found.false_positive.tolist() == [True, True]


def test_equal_scores_stand_in_the_order_given():
    scores = np.repeat([0.2, 0.8], 50)
    found = match(pairs_of((90, 0, 0.7), (70, 0, 0.9)), scores, 1, threshold=0.5)
    assert found.order.tolist() == [*range(50, 100), *range(50)]
    assert found.found_by.tolist() == [70]


def test_greedy_takes_the_free_lesion_of_greatest_overlap_and_one_only():
    # The better prediction (1) prefers lesion 1; prediction 0 has to take what is left, lesion 0.
    pairs = pairs_of((0, 1, 0.9), (0, 0, 0.5), (1, 0, 0.6), (1, 1, 0.7))
    found = match(pairs, np.array([0.3, 0.8]), 2, threshold=0.5, assignment="greedy")
    assert found.found_by.tolist() == [0, 1]
    # Equal overlap: the lesion given first.
    pairs = pairs_of((0, 1, 0.5), (0, 0, 0.5))
    found = match(pairs, np.array([0.3]), 2, threshold=0.5, assignment="greedy")
    assert found.found_by.tolist() == [0, -1]


def test_the_threshold_is_at_most_one():
    pairs, scores = pairs_of((0, 0, 1.0)), np.array([0.5])
    assert match(pairs, scores, 1, threshold=1).found_by.tolist() == [0]
    for threshold in (0, 1.001):
        with pytest.raises(ValueError, match=f"at most 1 but got {threshold}"):
            match(pairs, scores, 1, threshold=threshold)
