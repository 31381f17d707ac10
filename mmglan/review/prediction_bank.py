"""What several states of a detector find again and again where no bookmark is.

Findings of one scan from several checkpoints (epochs, seeds) that are of one lesion, see
`mmglan.review.reader_agreement`, are one candidate. A lesion that nobody marked is found by most of
them, with a high score, on neighbouring slices; a false alarm comes and goes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmglan.detections.findings import Findings, Lesion
from mmglan.review.reader_agreement import Cross, pair


@dataclass(frozen=True)
class Rules:
    """When a candidate is taken for a lesion.

    Attributes:
        share: Least share of the checkpoints that find it.
        score: Least mean score, over all checkpoints, 0 where one does not find it.
        slices: Least number of slices that it is found on.
    """

    share: float = 0.8
    score: float = 0.7
    slices: int = 2


@dataclass
class Candidate:
    """A place that some checkpoints call a lesion.

    Attributes:
        cross: Its axes by the checkpoint that is most sure of it.
        lesion: The finding of that checkpoint.
        scores: Of each checkpoint that finds it.
        checkpoints: How many there are.
    """

    cross: Cross
    lesion: Lesion
    checkpoints: int
    scores: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of the checkpoints that find it."""
        return len(self.scores) / self.checkpoints

    @property
    def mean_score(self) -> float:
        """Mean score over all checkpoints."""
        return sum(self.scores) / self.checkpoints

    @property
    def effect(self) -> float:
        """How much an answer would change the training: the doubt, times the slices it touches.

        The doubt is the entropy of the mean score in bits.
        """
        p = self.mean_score
        if not 0 < p < 1:
            return 0.0
        return -(p * math.log2(p) + (1 - p) * math.log2(1 - p)) * len(self.lesion.slices)

    def is_lesion(self, rules: Rules) -> bool:
        """Say whether it is taken for a lesion without a reader."""
        enough = self.share >= rules.share and self.mean_score >= rules.score
        return enough and len(self.lesion.slices) >= rules.slices


def candidates(states: Sequence[Findings], known: Sequence[Cross] = ()) -> list[Candidate]:
    """Join the findings of several checkpoints in one scan.

    Args:
        states: Findings of each checkpoint; those without axes are left out.
        known: Bookmarks of the scan, in mm: candidates at these places are left out.

    Returns:
        Candidates, the largest `Candidate.effect` first.
    """
    bank: list[Candidate] = []
    for state in states:
        found = [(_cross(lesion), lesion) for lesion in state.lesions if lesion.recist is not None]
        pairs = pair([one.cross for one in bank], [cross for cross, _ in found])
        for i, j in pairs:
            bank[i] = _joined(bank[i], *found[j])
        new = set(range(len(found))) - {j for _, j in pairs}
        bank += [Candidate(*found[j], len(states), [found[j][1].score]) for j in sorted(new)]
    marked = {i for i, _ in pair([one.cross for one in bank], _of_one_scan(known))}
    left = [one for i, one in enumerate(bank) if i not in marked]
    return sorted(left, key=lambda one: (-one.effect, -one.mean_score))


def _joined(one: Candidate, cross: Cross, lesion: Lesion) -> Candidate:
    best = (cross, lesion) if lesion.score > one.lesion.score else (one.cross, one.lesion)
    return Candidate(*best, one.checkpoints, [*one.scores, lesion.score])


def _cross(lesion: Lesion) -> Cross:
    recist = lesion.recist
    return Cross("", np.array([*recist.long_axis_lps, *recist.short_axis_lps]))


def _of_one_scan(crosses: Sequence[Cross]) -> list[Cross]:
    return [Cross("", cross.points) for cross in crosses]
