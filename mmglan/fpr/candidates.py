"""Candidates: stacked detections, the results they are made of, and which are known lesions.

N: number of candidates.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from mmglan.detections.coco_files import GroundTruth
from mmglan.detections.coco_results import Results
from mmglan.detections.stacking import Stacking
from mmglan.detections.volume_files import slice_of, slices_of_volumes

LESION, NO_LESION, UNKNOWN = 1, 0, -1
# Share of a detection inside the box of a known lesion from which it is taken for that lesion.
KNOWN_IOBB = 0.3


@dataclass(frozen=True, eq=False)
class Candidate:
    """One stacked detection.

    Attributes:
        volume: Id of its volume.
        box: `(6,)` x1, y1, z1, x2, y2, z2, upper corners where it ends.
        score: Of the stack.
        rows: Its detections: slice and row of the results.
    """

    volume: str
    box: np.ndarray
    score: float
    rows: list[tuple[int, int]]


def find_candidates(images: GroundTruth, results: Results, stacking: Stacking) -> list[Candidate]:
    """Stack the results of every volume, class by class.

    Args:
        images: Annotation file whose images name `volume_id` and `slice_index`.
        results: Of a detector on the images.
        stacking: How.

    Returns:
        By volume and falling score. Every result belongs to one candidate.
    """
    boxes, found = np.column_stack([results.corners, results.scores]), []
    for volume, parts in sorted(slices_of_volumes(images, results).items()):
        rows = {z: np.arange(part.start, part.stop) for z, (_, part) in parts.items()}
        of_volume = []
        for category in np.unique(results.category[np.concatenate([*rows.values()])]):
            here = {z: row[results.category[row] == category] for z, row in rows.items()}
            stacks = stacking.stacks({z: boxes[row] for z, row in here.items()})
            for box, members in zip(stacks.boxes, stacks.members, strict=True):
                chain = [(z, int(here[z][row])) for z, row in members]
                of_volume.append(Candidate(volume, box[:6], float(box[6]), chain))
        found += sorted(of_volume, key=lambda one: -one.score)
    return found


def known_labels(candidates: list[Candidate], results: Results, marks: GroundTruth) -> np.ndarray:
    """Tell which candidates are lesions, from marks on single slices or on all.

    A lesion goes on above and below the slice that it is marked on, nobody says how far. So a
    candidate is a lesion if one of its boxes lies on a mark of the same slice (IoBB of at least
    `KNOWN_IOBB`), none if it is apart from all marks of its volume in x and y, and unknown else.

    Args:
        candidates: Of volumes whose lesions are all marked at least once.
        results: That they are made of.
        marks: Annotation file of the marked slices.

    Returns:
        `(N,)` `LESION`, `NO_LESION` or `UNKNOWN`.
    """
    places: dict[str, list[tuple[int, np.ndarray]]] = defaultdict(list)
    for image, lesions in zip(marks.images, marks.lesions, strict=True):
        volume, index = slice_of(image, f"{marks.name}: image {image['id']}")
        for lesion in lesions:
            x, y, width, height = lesion["bbox"]
            corners = np.array([x, y, x + width, y + height])
            places[volume].append((index, corners))
    return np.array(
        [_label(one, results.corners, places[one.volume]) for one in candidates], dtype=int
    )


def _label(candidate, corners, marks) -> int:
    label = NO_LESION
    for z, mark in marks:
        for at, row in candidate.rows:
            if at == z and _share_inside(corners[row], mark) >= KNOWN_IOBB:
                return LESION
        if _share_inside(candidate.box[[0, 1, 3, 4]], mark) > 0:
            label = UNKNOWN
    return label


def _share_inside(box: np.ndarray, other: np.ndarray) -> float:
    """Return the share of a box `(4,)` that is inside another one."""
    common = np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None)
    return float(common.prod() / max((box[2:] - box[:2]).prod(), 1e-9))


def rescored(results: Results, candidates: list[Candidate], probabilities: np.ndarray) -> Results:
    """Multiply the scores of results by the probability `(N,)` of their candidate.

    The boxes stay, so that stacking in the same way gives the same candidates.
    """
    scores = results.scores.astype(np.float64)
    for candidate, probability in zip(candidates, probabilities, strict=True):
        scores[[row for _, row in candidate.rows]] *= probability
    return replace(results, scores=scores)
