"""Random numbers that depend on nothing but the whole numbers they are seeded with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(*entropy: int) -> None:
    """Seed Python, NumPy and torch, its devices included, from several whole numbers.

    Args:
        *entropy: numbers ≥ 0, e.g. seed, epoch and rank; each combination gives streams of
            its own.
    """
    _seed_all(torch.manual_seed, entropy)


@contextmanager
def numbers_of(*entropy: int) -> Iterator[None]:
    """Let Python, NumPy and torch (CPU) draw from separate streams inside the context.

    The streams outside go on afterwards as if nothing had been drawn.

    Args:
        *entropy: as for `seed_everything`.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed_all(torch.default_generator.manual_seed, entropy)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _seed_all(seed_torch, entropy: tuple[int, ...]) -> None:
    words = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    seed_torch(int(words[2]))
