"""A detector of slices whose scores are averaged over neighbouring slices, as it was tested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from mmengine.config import Config

from mmglan.detections.neighbour_scores import neighbour_scores
from mmglan.detections.stacking import Stacking
from mmglan.inference.fusion import Slices2D
from mmglan.inference.linking import Detections2D


class AveragedSlices:
    """The same detections with other scores, see `mmglan.detections.neighbour_scores`."""

    def __init__(self, detector: Slices2D, reach: int) -> None:
        self.detector, self.classes, self.reach = detector, detector.classes, reach

    def detect(self, array: np.ndarray) -> Iterator[tuple[int, Detections2D]]:
        """See `Slices2D`."""
        slices = dict(self.detector.detect(array))
        scores = {z: found.scores.astype(np.float64) for z, found in slices.items()}
        for label in range(len(self.classes)):
            rows = {z: np.flatnonzero(found.labels == label) for z, found in slices.items()}
            detections = {
                z: (_coco_boxes(slices[z].boxes[row]), slices[z].scores[row])
                for z, row in rows.items()
            }
            for z, new in neighbour_scores(detections, self.reach).items():
                scores[z][rows[z]] = new
        for z, found in slices.items():
            yield z, replace(found, scores=scores[z])


def reach_of(config: Config) -> int:
    """Return the `neighbour_reach` with which a config tests its detector; 0 for none."""
    return max((int(metric.get("neighbour_reach", 0)) for metric in _metrics(config)), default=0)


def stacking_of(config: Config) -> Stacking:
    """Return the `stacking` with which a config tests its detector; else the paper's."""
    given = [metric["stacking"] for metric in _metrics(config) if metric.get("stacking")]
    return Stacking(**given[0]) if given else Stacking()


def _metrics(config: Config) -> list[dict]:
    metrics = config.get("test_evaluator") or {}
    return [metrics] if isinstance(metrics, dict) else metrics


def _coco_boxes(corners: np.ndarray) -> np.ndarray:
    return np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).astype(np.float64)
