"""Two lines that cross make a bookmark: the pairing for formats that know single lines only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

# Lines of one lesion: they meet within this distance and stand at least this much apart.
MAX_GAP_MM = 2.0
MIN_ANGLE_DEG = 45.0


def pair_lines(lines: Sequence[np.ndarray]) -> tuple[list[tuple[int, int]], list[int]]:
    """Find the pairs of lines that cross.

    Two lines alone are a pair whatever they look like, so that the checks of a bookmark can say
    what is wrong with them. Of more lines, those pair up that have no other partner to choose.

    Args:
        lines: Each `(2, 3)` end points in mm.

    Returns:
        Pairs of indices, the longer line first, in the order of their first lines; and the lines
        without exactly one partner.
    """
    if len(lines) == 2:
        partners = [[1], [0]]
    else:
        partners = [[] for _ in lines]
        for i, j in _near(lines):
            if _cross(lines[i], lines[j]):
                partners[i].append(j)
                partners[j].append(i)
    pairs, unpaired = [], []
    for i, found in enumerate(partners):
        if len(found) == 1 and partners[found[0]] == [i]:
            j = found[0]
            if i < j:
                # Of two equal lines the first one drawn counts as the long axis.
                longer = _length(lines[i]) >= _length(lines[j]) * (1 - 1e-4)
                pairs.append((i, j) if longer else (j, i))
        else:
            unpaired.append(i)
    return pairs, unpaired


def _near(lines: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """List the pairs of lines that are near enough to meet, by their middles and lengths."""
    if not lines:
        return []
    middles = np.array([line.mean(axis=0) for line in lines])
    reach = max(map(_length, lines)) + MAX_GAP_MM  # half of either line, and the gap
    return cKDTree(middles).query_pairs(reach, output_type="ndarray").tolist()


def _length(line: np.ndarray) -> float:
    return float(np.linalg.norm(line[1] - line[0]))


def _cross(one: np.ndarray, other: np.ndarray) -> bool:
    lengths = _length(one) * _length(other)
    if lengths == 0:
        return False
    cosine = abs(float((one[1] - one[0]) @ (other[1] - other[0]))) / lengths
    if math.degrees(math.acos(min(1.0, cosine))) < MIN_ANGLE_DEG:
        return False
    return segment_distance(*one, *other) <= MAX_GAP_MM


def segment_distance(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    """Return the distance between the segments `ab` and `cd` in 2D or 3D."""
    along, across, between = b - a, d - c, c - a
    # The nearest points of the two lines, by Cramer's rule.
    aa, ac, cc = float(along @ along), float(along @ across), float(across @ across)
    ba, bc = float(between @ along), float(between @ across)
    determinant = aa * cc - ac * ac
    if determinant > 1e-12 * max(1e-300, aa * cc):
        s, t = (ba * cc - bc * ac) / determinant, (ba * ac - bc * aa) / determinant
        if 0 <= s <= 1 and 0 <= t <= 1:
            return math.hypot(*(s * along - t * across - between).tolist())
    return min(_to_segment(p, *q) for p, q in ((a, (c, d)), (b, (c, d)), (c, (a, b)), (d, (a, b))))


def _to_segment(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    along = end - start
    share = np.clip((point - start) @ along / max(along @ along, 1e-300), 0, 1)
    return float(np.linalg.norm(point - start - share * along))
