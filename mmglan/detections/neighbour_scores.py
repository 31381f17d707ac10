"""Scores of 2D detections, averaged with those at the same place on the slices around.

A lesion is seen on several slices, a false positive often on one alone. A detection's new score is
the weighted mean, over the slices of its volume up to `reach` away, of the best score there, each
in proportion to the overlap. Where a neighbouring slice shows nothing, the score falls; beyond the
ends of a volume there is nothing to be averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from pycocotools import mask as mask_utils

from mmglan.detections.coco_files import GroundTruth
from mmglan.detections.coco_results import Results
from mmglan.detections.volume_files import slices_of_volumes

# IoU from which two boxes are taken to be at the same place.
SAME_PLACE_IOU = 0.5


def neighbour_scores(
    slices: Mapping[int, tuple[np.ndarray, np.ndarray]], reach: int
) -> dict[int, np.ndarray]:
    """Average the scores of one volume and class.

    Args:
        slices: By index, for every slice that was looked at, also those without detections: boxes
            `(n, 4)` x, y, width, height and scores `(n,)`.
        reach: Greatest distance in slices; a slice k away counts 1 - k / (reach + 1).

    Returns:
        The new scores of each slice.

    Examples:
        A box that is seen on two of three slices, and one that is not.

        >>> box, none = np.array([[0.0, 0, 10, 10]]), np.zeros((0, 4))
        >>> slices = {0: (none, np.zeros(0)), 1: (box, np.array([0.6])), 2: (box, np.array([0.9]))}
        >>> found = neighbour_scores(slices, reach=1)
        >>> [scores.round(3).tolist() for scores in found.values()]
        [[], [0.525], [0.8]]
    """
    found = {}
    for z, (boxes, scores) in slices.items():
        total, weights = scores.astype(np.float64), 1.0
        for other in {*range(z - reach, z + reach + 1)} & set(slices) - {z}:
            weight = 1 - abs(other - z) / (reach + 1)
            weights += weight
            there, scores_there = slices[other]
            if len(boxes) and len(there):
                overlaps = mask_utils.iou(boxes, there, [0] * len(there))
                same = np.minimum(overlaps / SAME_PLACE_IOU, 1)
                total = total + weight * (same * scores_there).max(axis=1)
        found[z] = total / weights
    return found


def average_results(images: GroundTruth, results: Results, reach: int) -> Results:
    """Average the scores of results on the slices of volumes, class by class.

    Args:
        images: Annotation file whose images name `volume_id` and `slice_index`.
        results: Of a detector on the images.
        reach: See `neighbour_scores`.

    Raises:
        ValueError: An image does not say which slice it is, or a slice is there twice.
    """
    scores = results.scores.astype(np.float64)
    rows = np.arange(len(results))
    for parts in slices_of_volumes(images, results).values():
        rows_of = {z: rows[part] for z, (_, part) in parts.items()}
        for category in np.unique(results.category[np.concatenate([*rows_of.values()])]):
            here = {z: row[results.category[row] == category] for z, row in rows_of.items()}
            detections = {z: (results.boxes[row], results.scores[row]) for z, row in here.items()}
            for z, new in neighbour_scores(detections, reach).items():
                scores[here[z]] = new
    return replace(results, scores=scores)
