"""Scores of slices averaged with those of the slices around, by hand."""

import numpy as np
import pytest

from mmglan.detections.coco_files import GroundTruth, read_ground_truth
from mmglan.detections.coco_results import group_results
from mmglan.detections.neighbour_scores import average_results, neighbour_scores

BOX, NONE = np.array([[10.0, 10, 20, 20]]), np.zeros((0, 4))


def seen(score):
    return BOX, np.array([score])


def test_weights_fall_with_the_distance():
    slices = {z: seen(score) for z, score in enumerate((0.2, 0.4, 0.9, 0.6, 0.8))}
    found = neighbour_scores(slices, reach=2)
    # 1 for the slice itself, 2/3 next to it, 1/3 two away.
    expected = (0.9 + 2 / 3 * (0.4 + 0.6) + 1 / 3 * (0.2 + 0.8)) / (1 + 4 / 3 + 2 / 3)
    np.testing.assert_allclose(found[2], [expected])
    # Beyond the end there is nothing that could count.
    np.testing.assert_allclose(found[0], [(0.2 + 2 / 3 * 0.4 + 1 / 3 * 0.9) / 2])


def test_a_slice_without_detections_counts_and_a_missing_one_does_not():
    slices = {0: seen(0.6), 1: (NONE, np.zeros(0))}
    assert neighbour_scores(slices, reach=1)[0].tolist() == [pytest.approx(0.4)]
    assert neighbour_scores({0: seen(0.6), 2: seen(0.9)}, reach=1)[0].tolist() == [0.6]


def test_overlap_below_a_half_counts_in_part():
    # 20 x 20 boxes moved by 10: IoU 1/3, which is 2/3 of a half; of several the best counts.
    there = np.array([[20.0, 10, 20, 20], [80, 80, 5, 5]]), np.array([0.9, 1.0])
    found = neighbour_scores({0: seen(0.6), 1: there}, reach=1)
    assert found[0].tolist() == [pytest.approx((0.6 + 0.5 * 2 / 3 * 0.9) / 1.5)]
    assert found[1].tolist() == pytest.approx([(0.9 + 0.5 * 2 / 3 * 0.6) / 1.5, 1 / 1.5])


def test_reach_of_nothing_keeps_the_scores():
    assert neighbour_scores({0: seen(0.6), 1: seen(0.9)}, reach=0)[0].tolist() == [0.6]


def volumes(*slices) -> GroundTruth:
    images = [
        {"id": number, "volume_id": volume, "slice_index": z, "width": 64, "height": 64}
        for number, (volume, z) in enumerate(slices, start=1)
    ]
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    return read_ground_truth({"images": images, "annotations": [], "categories": categories})


def results(gt, *rows):
    named = [
        {"image_id": image, "category_id": category, "bbox": BOX[0].tolist(), "score": score}
        for image, category, score in rows
    ]
    return group_results(named, gt)


def test_volumes_and_classes_stay_apart():
    gt = volumes(("v2", 1), ("v1", 0), ("v1", 1))
    found = results(gt, (1, 1, 0.9), (2, 1, 0.6), (3, 1, 0.9), (3, 2, 0.3))
    averaged = average_results(gt, found, reach=1)
    assert averaged.scores.tolist() == pytest.approx(
        [0.9, (0.6 + 0.45) / 1.5, (0.9 + 0.3) / 1.5, 0.3 / 1.5]
    )
    assert np.array_equal(averaged.boxes, found.boxes)


def test_images_that_are_no_slices_are_refused_by_name():
    gt = volumes(("v1", 0), ("v1", 0))
    with pytest.raises(ValueError, match=r"image 2: .* slice 0 of volume v1 is there again"):
        average_results(gt, results(gt, (1, 1, 0.5)), reach=1)
    gt.images[1]["volume_id"] = None
    with pytest.raises(ValueError, match="image 2: Expected volume_id and slice_index"):
        average_results(gt, results(gt, (1, 1, 0.5)), reach=1)
