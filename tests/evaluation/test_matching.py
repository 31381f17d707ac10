"""Matching: the one-to-one rule of PI-CAI against a search through all assignments."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from mmglan.detections.box_overlaps import matrix_pairs
from mmglan.evaluation.matching import match

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
