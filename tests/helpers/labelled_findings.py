"""Findings made of a label map, as if a detector had seen its lesions."""

import numpy as np

from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Findings, ScanGeometry
from mmglan.inference.linking import Detections2D, link_lesions
from mmglan.inference.soft_masks import SoftMask


def findings_of(volume: Volume, labels: np.ndarray) -> Findings:
    """Make findings of a label map `(Z, Y, X)`; scores fall from 0.9 with the label."""
    slices = {}
    for z, part in enumerate(labels):
        masks = [SoftMask.of(part == label) for label in np.unique(part) if label]
        boxes = [(m.corner[1], m.corner[0], *np.add(m.corner, m.values.shape)[::-1]) for m in masks]
        scores = 0.9 - 0.1 * np.arange(len(masks))
        boxes = np.array(boxes, float).reshape(-1, 4)
        slices[z] = Detections2D(boxes, scores, np.zeros(len(masks), int), masks)
    lesions, _ = link_lesions(slices, volume, threshold=0.1)
    return Findings("v0001", ScanGeometry.of(volume), lesions, model={"name": "made"})
