"""From the score of a lesion to the probability that it is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """A rising curve from scores to probabilities, as a table.

    Attributes:
        method: How it was fitted: `isotonic` or `platt`.
        scores: Rising scores from 0 to 1.
        probabilities: Probability at each; linear in between.

    Raises:
        ValueError: The table is no rising curve in [0, 1].
    """

    method: str
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("scores", "probabilities"):
            values = np.asarray(getattr(self, name), float)
            good = len(values) and np.isfinite(values).all() and (np.diff(values) >= 0).all()
            if not good or values[0] < 0 or values[-1] > 1:
                raise ValueError(f"Expected {name} of a calibration to rise within [0, 1].")
        if len(self.scores) != len(self.probabilities):
            raise ValueError("Expected a probability for each score of a calibration.")

    def __call__(self, scores: float | Sequence[float]) -> np.ndarray:
        """Return the probabilities of scores.

        Examples:
            >>> float(Calibration("isotonic", (0.0, 0.5, 1.0), (0.1, 0.2, 0.9))(0.75))
            0.55
        """
        return np.interp(scores, self.scores, self.probabilities)
