"""Candidates by hand: which results they hold, which are lesions, what becomes of the scores."""

import numpy as np
import pytest

from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.detections.stacking import Stacking
from mmglan.fpr.candidates import find_candidates, known_labels, rescored

SLICES = read_ground_truth(
    {
        "images": [{"id": z + 1, "volume_id": "a", "slice_index": z} for z in range(3)],
        "annotations": [],
        "categories": [{"id": 1, "name": "node"}, {"id": 2, "name": "cyst"}],
    }
)


def result(z, x, score, category=1):
    return {"image_id": z + 1, "bbox": [x, 0, 10, 10], "score": score, "category_id": category}


RESULTS = group_results(
    [result(0, 0, 0.5), result(1, 1, 0.8), result(1, 40, 0.6), result(2, 1, 0.9, 2)], SLICES
)


def test_stacked_class_by_class():
    cyst, node, other = find_candidates(SLICES, RESULTS, Stacking())
    assert node.box.tolist() == [0, 0, 0, 11, 10, 2] and node.score == 0.8
    assert node.rows == [(0, 0), (1, 1)] and other.rows == [(1, 2)] and cyst.rows == [(2, 3)]
    longer = find_candidates(SLICES, RESULTS, Stacking(score="mean"))
    assert [one.score for one in longer] == pytest.approx([0.9, 0.65, 0.6])


def mark(*boxes, z=1):
    image = {"id": 9, "volume_id": "a", "slice_index": z}
    lesions = [{"id": k, "image_id": 9, "bbox": box} for k, box in enumerate(boxes)]
    return read_ground_truth({"images": [image], "annotations": lesions})


@pytest.mark.parametrize(
    ("marks", "labels"),
    [
        # Slice 1 is marked: the cyst stands above the mark on slice 2, nobody says whether it is
        # part of it.
        (mark([0, 0, 12, 12]), [-1, 1, 0]),
        # The node's box on slice 1 is inside by 3 of 10 pixels, and by 2.9.
        (mark([8, 0, 20, 10]), [-1, 1, 0]),
        (mark([8.1, 0, 20, 10]), [-1, -1, 0]),
        (mark([40, 0, 9, 9]), [0, 0, 1]),
        (mark([40, 0, 9, 9], z=0), [0, 0, -1]),
        (mark([0, 0, 12, 12], [40, 0, 9, 9]), [-1, 1, 1]),
        (mark(), [0, 0, 0]),
    ],
)
def test_known_lesions(marks, labels):
    candidates = find_candidates(SLICES, RESULTS, Stacking())
    assert known_labels(candidates, RESULTS, marks).tolist() == labels


def test_scores_of_a_candidate_are_multiplied():
    candidates = find_candidates(SLICES, RESULTS, Stacking())
    new = rescored(RESULTS, candidates, np.array([1.0, 0.5, 0.1]))
    assert new.scores == pytest.approx([0.25, 0.4, 0.06, 0.9])
    again = find_candidates(SLICES, new, Stacking())
    assert sorted(one.rows for one in again) == sorted(one.rows for one in candidates)
