"""Lesions of two studies of a patient: new, lost, grown, shrunk, and the sum of the targets.

Sizes are short axes, by which RECIST 1.1 measures nodes. A lesion of the earlier study is matched
with one of the later study if their centres, after registration, are nearer than half the longer
long axis or `Rules.least_mm`, one to one, the nearest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmglan.review.reader_agreement import Cross, pair
from mmglan.review.registration import RigidMotion

NEW, LOST, GROWN, SHRUNK, STABLE = "new", "lost", "grown", "shrunk", "stable"


@dataclass(frozen=True)
class Rules:
    """What counts as a change.

    Attributes:
        change_percent, change_mm: A lesion has grown or shrunk if its short axis changes by at
            least both.
        target_mm: Least short axis of a target at the earlier study (RECIST 1.1: 15 mm).
        n_targets: Most targets (RECIST 1.1: 5); the largest are taken.
        least_mm: Distance of centres within which lesions always match.
    """

    change_percent: float = 20.0
    change_mm: float = 3.0
    target_mm: float = 15.0
    n_targets: int = 5
    least_mm: float = 10.0


@dataclass(frozen=True)
class Change:
    """One lesion.

    Attributes:
        status: `new`, `lost`, `grown`, `shrunk` or `stable`.
        earlier, later: The lesion in each study, in mm of that study; None where it is not.
        target: Whether it counts in the sum.
    """

    status: str
    earlier: Cross | None
    later: Cross | None
    target: bool = False

    @property
    def sizes_mm(self) -> tuple[float, float]:
        """Short axes, 0 where it is not."""
        return tuple(0.0 if one is None else one.short_mm for one in (self.earlier, self.later))


@dataclass(frozen=True)
class Followup:
    """The comparison of two studies.

    Attributes:
        changes: Lesions of the earlier study in their order, then new ones.
        sums_mm: Sum of the targets' short axes in the earlier and the later study.
    """

    changes: tuple[Change, ...]
    sums_mm: tuple[float, float]

    @property
    def sum_change_percent(self) -> float | None:
        """Change of the sum; None without a target."""
        before, after = self.sums_mm
        return 100 * (after - before) / before if before else None


def compare_studies(
    earlier: Sequence[Cross], later: Sequence[Cross], motion: RigidMotion, rules: Rules = Rules()
) -> Followup:
    """Match the lesions of two studies and say how each has changed.

    Args:
        earlier, later: Lesions, all of one `volume` name.
        motion: From mm of the earlier to mm of the later study.
        rules: See `Rules`.
    """
    moved = [replace(one, points=motion(one.points)) for one in earlier]
    partner = dict(pair(moved, later, least_mm=rules.least_mm))
    by_size = sorted(range(len(earlier)), key=lambda i: (-earlier[i].short_mm, i))
    targets = [i for i in by_size if earlier[i].short_mm >= rules.target_mm][: rules.n_targets]
    changes = []
    for i, one in enumerate(earlier):
        other = later[partner[i]] if i in partner else None
        changes.append(Change(_status(one, other, rules), one, other, i in targets))
    found = set(partner.values())
    changes += [Change(NEW, None, one) for j, one in enumerate(later) if j not in found]
    sums = zip(*(change.sizes_mm for change in changes if change.target), strict=True)
    before, after = map(sum, sums) if targets else (0.0, 0.0)
    return Followup(tuple(changes), (before, after))


def _status(earlier: Cross, later: Cross | None, rules: Rules) -> str:
    if later is None:
        return LOST
    by = later.short_mm - earlier.short_mm
    if abs(by) < max(rules.change_mm, rules.change_percent / 100 * earlier.short_mm):
        return STABLE
    return GROWN if by > 0 else SHRUNK
