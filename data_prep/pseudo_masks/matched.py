"""Which bookmark belongs to which true lesion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import optimize


def match_by_overlap(overlaps: Sequence[Sequence[float]]) -> dict[int, int]:
    """Pair rows with columns one to one so that the sum of their overlaps is largest.

    Args:
        overlaps: `(rows, columns)`, 0 where a pair has nothing in common.

    Returns:
        Row → column; rows whose partner would overlap them by 0 are left out.
    """
    table = np.asarray(overlaps, dtype=float)
    if not table.size:
        return {}
    rows, columns = optimize.linear_sum_assignment(table, maximize=True)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if table[r, c] > 0}
