"""Agreement of two readers on the same scans: which lesions, and how large.

Marks of two readers are of one lesion if their centres are nearer than half the longer long axis
in 3D; pairs are formed one to one, the nearest first. What one reader marked and the other did not
mark, or rejected, is a disagreement. Places that nobody marked are not countable, so the share of
positive agreement 2a / (2a + b + c) is given, to which Cohen's kappa tends as the places without
a mark grow in number; kappa itself, over the places that at least one reader judged, is given where
some place was rejected by both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.bookmarks.record import BookmarkRecord
from data_prep.errors import DataError
from data_prep.volumes.geometry import Grid


@dataclass(frozen=True)
class Cross:
    """A mark in mm of the patient.

    Attributes:
        volume: The scan.
        points: `(4, 3)` long 1, long 2, short 1, short 2.
    """

    volume: str
    points: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """Mean of the end points, `(3,)` mm."""
        return self.points.mean(axis=0)

    @property
    def long_mm(self) -> float:
        """Length of the long axis."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))

    @property
    def short_mm(self) -> float:
        """Length of the short axis."""
        return float(np.linalg.norm(self.points[3] - self.points[2]))


@dataclass(frozen=True)
class BlandAltman:
    """Differences of paired sizes, second reader minus first, mm.

    Attributes:
        bias: Mean difference.
        low, high: Limits of agreement, the mean ± 1.96 standard deviations (n - 1).
    """

    bias: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """How two readers agree.

    Attributes:
        pairs: Marks of one lesion, first and second reader.
        only_first, only_second: Lesions that one reader marked alone.
        both_rejected: Places that both rejected.
        positive_agreement: 2a / (2a + b + c); None without a lesion.
        kappa: Cohen's kappa over all judged places; None unless both kinds occur.
        long_axis, short_axis: Of the pairs; None for fewer than two.
    """

    pairs: tuple[tuple[Cross, Cross], ...]
    only_first: tuple[Cross, ...]
    only_second: tuple[Cross, ...]
    both_rejected: int
    positive_agreement: float | None
    kappa: float | None
    long_axis: BlandAltman | None
    short_axis: BlandAltman | None


def crosses_of(
    records: Iterable[BookmarkRecord], grids: Mapping[str, Grid] | None = None
) -> list[Cross]:
    """Return records as crosses in mm.

    Args:
        records: Bookmarks.
        grids: Stored grids by volume, for bookmarks in pixels of a slice that the file numbers.

    Raises:
        DataError: A record without two axes, or in pixels of a scan that is not among `grids`.
    """
    crosses = []
    for record in records:
        points, grid = record.points, (grids or {}).get(record.volume)
        if record.frame == "pixel" and grid is not None and record.slice_index is not None:
            slices = np.full(len(points), float(record.slice_index))
            points = grid.mm_of_stored_index(np.column_stack([points, slices]))
        elif record.frame == "RAS":
            points = points * [-1.0, -1.0, 1.0]
        if points.shape != (4, 3):
            raise DataError(
                "Expected two axes in mm but got others. Export the table from a study page.",
                path=record.file,
                row=record.row,
            )
        crosses.append(Cross(record.volume, points))
    return crosses


def pair(
    first: Sequence[Cross], second: Sequence[Cross], *, least_mm: float = 0.0
) -> list[tuple[int, int]]:
    """Pair marks of one lesion, the nearest first.

    Args:
        first, second: Marks.
        least_mm: Distance of centres within which marks of one scan always fit.

    Returns:
        (place in `first`, place in `second`), in the order of `first`.
    """
    by_volume: dict[str, list[int]] = defaultdict(list)
    for j, other in enumerate(second):
        by_volume[other.volume].append(j)
    candidates = []
    for i, one in enumerate(first):
        for j in by_volume[one.volume]:
            away = float(np.linalg.norm(one.centre - second[j].centre))
            if away < max(one.long_mm / 2, second[j].long_mm / 2, least_mm):
                candidates.append((away, i, j))
    pairs, used = [], (set(), set())
    for _, i, j in sorted(candidates):
        if i not in used[0] and j not in used[1]:
            pairs.append((i, j))
            used[0].add(i)
            used[1].add(j)
    return sorted(pairs)


def agreement(
    first: Sequence[Cross],
    second: Sequence[Cross],
    first_rejected: Sequence[Cross] = (),
    second_rejected: Sequence[Cross] = (),
) -> Agreement:
    """Compare the marks of two readers.

    Args:
        first, second: Lesions of each reader.
        first_rejected, second_rejected: Places that each reader judged to be no lesion.
    """
    pairs = pair(first, second)
    a, b, c = len(pairs), len(first) - len(pairs), len(second) - len(pairs)
    d = len(pair(first_rejected, second_rejected))
    matched = tuple((first[i], second[j]) for i, j in pairs)
    used = ({i for i, _ in pairs}, {j for _, j in pairs})
    return Agreement(
        pairs=matched,
        only_first=tuple(one for i, one in enumerate(first) if i not in used[0]),
        only_second=tuple(one for j, one in enumerate(second) if j not in used[1]),
        both_rejected=d,
        positive_agreement=2 * a / (2 * a + b + c) if a + b + c else None,
        kappa=cohens_kappa(a, b, c, d) if d else None,
        long_axis=bland_altman([(one.long_mm, other.long_mm) for one, other in matched]),
        short_axis=bland_altman([(one.short_mm, other.short_mm) for one, other in matched]),
    )


def cohens_kappa(a: int, b: int, c: int, d: int) -> float | None:
    """Return Cohen's kappa of a 2 × 2 table; None where chance alone gives full agreement.

    Args:
        a: Both say lesion.
        b, c: The first, the second alone says so.
        d: Both say no lesion.

    Examples:
        >>> cohens_kappa(20, 5, 10, 15)
        0.4
    """
    n = a + b + c + d
    observed = (a + d) / n
    chance = ((a + b) * (a + c) + (c + d) * (b + d)) / n**2
    return None if chance == 1 else round((observed - chance) / (1 - chance), 12)


def bland_altman(sizes: Sequence[tuple[float, float]]) -> BlandAltman | None:
    """Return bias and limits of agreement of paired sizes; None for fewer than two pairs.

    Source: Bland and Altman, Lancet 1986.

    Examples:
        >>> bland_altman([(10.0, 11.0), (20.0, 23.0)]).bias
        2.0
    """
    if len(sizes) < 2:
        return None
    differences = np.array([after - before for before, after in sizes])
    bias = float(differences.mean())
    spread = 1.96 * float(differences.std(ddof=1))
    if not math.isfinite(spread):
        return None
    return BlandAltman(bias, bias - spread, bias + spread)
