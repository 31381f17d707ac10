"""Training of the network on a detector's candidates, and its probabilities of candidates.

N: number of candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional

from mmglan.fpr.candidates import LESION, NO_LESION, Candidate
from mmglan.fpr.crops import Jitter, crop
from mmglan.fpr.network import CandidateNet
from mmglan.random_numbers import numbers_of

BATCH = 32
LEARNING_RATE = 2e-3
# Candidates without a lesion that an epoch takes for each one with a lesion.
NEGATIVES = 2
Progress = Callable[[Iterable], Iterable]


def train(
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    volumes: Mapping[str, np.ndarray],
    *,
    epochs: int = 30,
    seed: int = 0,
    progress: Progress = iter,
) -> CandidateNet:
    """Train a network.

    Every epoch takes all lesions and, anew, twice as many others, each as likely as its score is
    high, so that what the detector is sure of comes most often.

    Args:
        candidates: Of a detector on training volumes.
        labels: `(N,)` see `known_labels`; unknown ones are left out.
        volumes: `(Z, Y, X)` by id, normalised.
        epochs: Passes over the lesions.
        seed: Same seed, same weights on one machine.
        progress: Wraps the loop over the epochs.

    Raises:
        ValueError: No lesion among the candidates, or nothing but lesions.
    """
    lesions, others = np.flatnonzero(labels == LESION), np.flatnonzero(labels == NO_LESION)
    if not len(lesions) or not len(others):
        raise ValueError(
            "Expected candidates with and without a lesion to train on but got "
            f"{len(lesions)} and {len(others)}. Are these results of the marked volumes, with low "
            "scores kept?"
        )
    rng = np.random.default_rng(seed)
    scores = np.array([candidates[place].score for place in others])
    chances = np.maximum(scores, 1e-6) / np.maximum(scores, 1e-6).sum()
    count = min(NEGATIVES * len(lesions), len(others))
    with numbers_of(seed):
        network = CandidateNet()
        steps = epochs * -(-(len(lesions) + count) // BATCH)
        optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
        for _ in progress(range(epochs)):
            drawn = rng.choice(others, count, replace=False, p=chances)
            for part in _parts(rng.permutation([*lesions, *drawn]).tolist()):
                crops = [_crop(candidates[k], volumes, Jitter.draw(rng)) for k in part]
                gains = 1 + rng.normal(0, 0.1, (len(part), 1, 1, 1))
                batch = np.stack(crops)
                batch[:, 0] = batch[:, 0] * gains + rng.normal(0, 0.1, gains.shape)
                loss = functional.binary_cross_entropy_with_logits(
                    network(torch.from_numpy(batch)), torch.from_numpy(labels[part]).float()
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return network.eval()


@torch.no_grad()
def predict(
    network: CandidateNet, candidates: Sequence[Candidate], volumes: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return `(N,)` probabilities of a lesion, the mean of a crop and its mirror image."""
    found = []
    for part in _parts(candidates):
        views = [
            np.stack([_crop(one, volumes, Jitter(mirror=mirror)) for one in part])
            for mirror in (False, True)
        ]
        found.append(sum(torch.sigmoid(network(torch.from_numpy(v))).numpy() for v in views) / 2)
    return np.concatenate([*found, np.zeros(0)])


def _parts(items: Sequence) -> Iterator[Sequence]:
    """Yield a batch after the other."""
    for first in range(0, len(items), BATCH):
        yield items[first : first + BATCH]


def _crop(candidate: Candidate, volumes, jitter: Jitter) -> np.ndarray:
    return crop(volumes[candidate.volume], candidate.box, jitter)
