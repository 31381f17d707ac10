"""Lesions found and false positives of each image or volume, at every score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from mmglan.evaluation.detection_sets.detection_set import DetectionSet
from mmglan.evaluation.protocols import Protocol

HEADER = (
    *("kind", "criterion", "scan", "lesions", "found"),
    *("detections", "false_positives", "not_counted"),
)


def scan_counts(
    sets: Iterable[DetectionSet], protocol: Protocol, names: dict[int, Sequence]
) -> Iterator[tuple]:
    """Yield the rows of a table, one for each scan, kind and criterion.

    A detection that finds a lesion first is neither a false positive nor `not_counted`; the latter
    are duplicates and those on findings to ignore.

    Args:
        sets: Of one detector.
        protocol: Criteria and matching.
        names: Of images (2) and volumes (3), by dimension.
    """
    for detections in sets:
        for criterion in protocol.criteria(detections.dims):
            matches = detections.match(criterion, protocol)
            hits, false = matches.hits > 0, matches.false_positive
            columns = (
                detections.gt_image,
                detections.gt_image[matches.found_by >= 0],
                detections.pred_image,
                detections.pred_image[false],
                detections.pred_image[~hits & ~false],
            )
            counts = [np.bincount(one, minlength=detections.n_images).tolist() for one in columns]
            for name, *row in zip(names[detections.dims], *counts, strict=True):
                yield detections.kind, criterion.words, name, *row
