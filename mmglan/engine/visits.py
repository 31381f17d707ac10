"""Random numbers for each visit to an image, whatever loop, data set wrapper and sampler.

The indices that a sampler yields are numbered on their way into the batches, and an item is drawn
from the numbers of (seed, round, index) or, where a round may show an image again, of (seed, round,
index, position). A round is one pass through the sampler: an epoch, or a restart in an iteration
loop. Neither the workers nor the processes count, and a resumed run goes on where it was, since the
position is that in the stream of all processes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.logging import print_log
from torch.utils.data import DataLoader, IterableDataset, Sampler

from mmglan.random_numbers import numbers_of


class Visit(int):
    """An index that knows its visit: `entropy` are whole numbers that no other visit has."""

    entropy: tuple[int, ...] = ()

    def __new__(cls, index: int, entropy: tuple[int, ...] = ()) -> Visit:
        """Make a number equal to `index`."""
        visit = super().__new__(cls, index)
        visit.entropy = entropy
        return visit


class NumberedSampler(Sampler):
    """Yields the indices of another sampler as visits; else it is that sampler.

    Args:
        sampler: Sampler of one process; with several it yields every n-th index of theirs.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self.rank, self.world_size = get_dist_info()
        self.round = 0
        self.skipped = 0

    def __iter__(self) -> Iterator[Visit]:
        """Start the next round."""
        number, start = self.round, self.skipped
        self.round, self.skipped = number + 1, 0
        return (self._visit(number, *item) for item in enumerate(iter(self.sampler), start))

    def __len__(self) -> int:
        """Return the length of the sampler."""
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        if name == "sampler":
            raise AttributeError(name)
        value = getattr(self.sampler, name)
        return self._skip if name == "skip" else value

    def _skip(self, count: int) -> None:
        """Skip indices of this process, as `InfiniteSampler.skip` does."""
        self.sampler.skip(count)
        self.skipped = count

    def _visit(self, number: int, place: int, index: int) -> Visit:
        position = place * self.world_size + self.rank
        entropy = (number, 0, int(index))
        # The default sampler shows each image once, and repeats some to make shares equal.
        once = isinstance(self.sampler, DefaultSampler) and position < len(self.sampler.dataset)
        return Visit(index, entropy if once else (*entropy, position))


def number_visits(loader: DataLoader, seed: int) -> None:
    """Let the items of a data loader draw from the numbers of their visits.

    Args:
        loader: Loader; nothing changes the second time. A data set without indices, or a batch
            sampler of another kind, draws from the numbers of its worker, with a message.
        seed: Seed of the run.
    """
    batches = loader.batch_sampler
    if not hasattr(batches, "sampler") or isinstance(loader.dataset, IterableDataset):
        note = "Items have no numbers of their own: a resumed run draws other augmentations."
        print_log(note, "current", logging.WARNING)
        return
    if isinstance(batches.sampler, NumberedSampler):
        return
    numbered = NumberedSampler(batches.sampler)
    if loader.sampler is batches.sampler:
        loader.__dict__["sampler"] = numbered  # a loader refuses the plain assignment
    batches.sampler = numbered
    # PyTorch's loaders call this for a batch, in the workers too.
    loader.dataset.__getitems__ = partial(items_of_visits, loader.dataset, seed)


def start_round(loader: DataLoader, number: int, batches_before: int = 0) -> None:
    """Let the next pass through a loader be the round of this number.

    Args:
        loader: Loader whose visits are numbered.
        number: Of the round.
        batches_before: Batches of the round that an earlier run has seen and that the sampler,
            which starts from its first index, does not skip.
    """
    sampler = getattr(loader.batch_sampler, "sampler", None)
    if not isinstance(sampler, NumberedSampler):
        return
    sampler.round, sampler.skipped = number, batches_before * loader.batch_sampler.batch_size


def rewind(loader: DataLoader) -> None:
    """Let an infinite sampler start at its first index again: workers may have drawn some."""
    sampler = getattr(getattr(loader.batch_sampler, "sampler", None), "sampler", None)
    if isinstance(sampler, InfiniteSampler):
        sampler.indices = sampler._indices_of_rank()


def items_of_visits(dataset: Any, seed: int, visits: Sequence[Visit]) -> list[Any]:
    """Get the items of a batch, each with its own random numbers."""
    items = []
    for visit in visits:
        with numbers_of(seed, *visit.entropy):
            items.append(dataset[int(visit)])
    return items
