"""What is different the second time: every loop, sampler and wrapper of a data set.

Real runners on a data set of numbers: each item is its index and what a pipeline would draw.
"""

import random
from inspect import signature
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.datasets import MultiImageMixDataset
from mmdet.registry import TRANSFORMS
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.model import BaseModel
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler

import mmglan.engine.visits as visits
from mmglan.datasets import LesionBalancedSampler  # noqa: F401  (registers it)
from mmglan.engine.hooks.resumed_run_hook import ResumedRunHook

IMAGES = 4
_names = count()


class Draws(BaseDataset):
    """Items `(index, random, numpy, torch)`; every second image has a lesion."""

    def load_data_list(self):
        return [
            dict(img_id=i, instances=[dict(bbox_label=0)] * (i % 2), width=8, height=8)
            for i in range(IMAGES)
        ]

    def get_cat_ids(self, idx):
        return [idx % 2]

    def prepare_data(self, idx):
        return torch.tensor([idx, random.random(), np.random.rand(), torch.rand(())]).double()


@TRANSFORMS.register_module()
class AddAnother:
    """Add another image's draws, as Mosaic mixes images."""

    def get_indexes(self, dataset):
        return random.randrange(len(dataset))

    def __call__(self, results):
        return results


class Noisy(BaseModel):
    """A weight that moves with the batch and with a number drawn in the training."""

    def __init__(self, seen):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.seen = seen

    def forward(self, *batch, mode):
        if mode != "loss":
            return []
        self.seen.append(torch.stack(batch))
        return dict(loss=(self.weight * (torch.stack(batch)[:, 1:].mean(0) + torch.rand(3))).sum())


class Mixed(MultiImageMixDataset):
    """Draws the number of the other image on top of the item's own draws."""

    def __getitem__(self, idx):
        item, (transform,) = self.dataset[idx].clone(), self.pipeline
        item[1] += transform.get_indexes(self.dataset)
        return item


WRAPPERS = {
    "none": lambda: Draws(),
    "repeat": lambda: RepeatDataset(Draws(), times=2),
    "concat": lambda: ConcatDataset([Draws(), Draws()]),
    "class-balanced": lambda: ClassBalancedDataset(Draws(), oversample_thr=4),
    "mix": lambda: Mixed(Draws(), pipeline=[dict(type="mmdet.AddAnother")]),
}
SAMPLERS = {
    "default": dict(type="DefaultSampler", shuffle=True),
    "infinite": dict(type="InfiniteSampler", shuffle=True),
    "balanced": dict(type="LesionBalancedSampler", lesion_free_fraction=0.5),
    "balanced, many": dict(type="LesionBalancedSampler", lesion_free_fraction=0.75),
}
LOOPS = {
    "epochs": dict(type="EpochBasedTrainLoop", max_epochs=4),
    "iterations": dict(type="IterBasedTrainLoop", max_iters=9),
    "iterations, not skipped": dict(
        type="IterBasedTrainLoop", max_iters=9, fast_forward_on_resume=True
    ),
}
CASES = [
    (loop, sampler, wrapper)
    for loop in LOOPS
    for sampler in SAMPLERS
    for wrapper in WRAPPERS
    # A pass through the infinite sampler never ends.
    if (loop, sampler) != ("epochs", "infinite") and "not skipped" not in loop
]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("mmengine.runner.loops.time.sleep", lambda seconds: None)
    monkeypatch.setattr(Runner, "_log_env", lambda *_: None)  # asks compilers for their versions


def train(folder, loop, sampler, wrapper, workers=0, batch_size=2, resume=None, aspect=False):
    """Train; returns the batches and the weight."""
    by_epoch, seen = loop == "epochs", []
    batches = dict(type="mmdet.AspectRatioBatchSampler") if aspect else None
    runner = Runner(
        model=Noisy(seen),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=workers,
            dataset=WRAPPERS[wrapper](),
            sampler=SAMPLERS[sampler],
            batch_sampler=batches,
            worker_init_fn=dict(type="seed_worker_from_torch"),
            collate_fn=dict(type="pseudo_collate"),
        ),
        train_cfg=LOOPS[loop],
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(
            epoch_seed=dict(type="EpochSeedHook"),
            resumed_run=dict(type="ResumedRunHook"),
            checkpoint=dict(
                type="CheckpointHook", by_epoch=by_epoch, interval=1 if by_epoch else 5
            ),
            logger=dict(type="LoggerHook", interval=1000),
        ),
        visualizer=dict(type="Visualizer", vis_backends=[], name=f"v{next(_names)}"),
        randomness=dict(seed=3),
        log_level="ERROR",
        load_from=resume,
        resume=resume is not None,
        experiment_name=f"e{next(_names)}",
        default_scope="mmdet",
    )
    runner.train()
    return seen, runner.model.weight.detach()


@pytest.mark.parametrize(("loop", "sampler", "wrapper"), CASES)
def test_no_visit_repeats_another_and_a_resumed_run_is_the_same(loop, sampler, wrapper, tmp_path):
    seen, weight = train(tmp_path / "whole", loop, sampler, wrapper)
    draws = torch.cat(seen)
    assert draws[:, 0].unique(return_counts=True)[1].max() > 1  # images come again
    for column in (1, 2, 3):
        assert len(draws[:, column].unique()) == len(draws)
    middle = tmp_path / "whole" / ("epoch_2.pth" if loop == "epochs" else "iter_5.pth")
    again, resumed_weight = train(tmp_path / "again", loop, sampler, wrapper, resume=str(middle))
    assert 0 < len(again) < len(seen)
    assert torch.equal(torch.cat(again), torch.cat(seen[-len(again) :]))
    assert torch.equal(resumed_weight, weight)


@pytest.mark.parametrize(
    ("loop", "sampler", "wrapper"),
    [("epochs", "default", "repeat"), ("iterations", "infinite", "mix")],
)
def test_workers_and_batch_samplers_change_nothing(loop, sampler, wrapper, tmp_path):
    seen, weight = train(tmp_path / "0", loop, sampler, wrapper)
    by_workers, same_weight = train(tmp_path / "2", loop, sampler, wrapper, workers=2)
    assert torch.equal(torch.cat(by_workers), torch.cat(seen)) and torch.equal(same_weight, weight)
    grouped, _ = train(tmp_path / "aspect", loop, sampler, wrapper, aspect=True)
    assert torch.equal(torch.cat(grouped), torch.cat(seen))


@pytest.mark.skipif(
    "fast_forward_on_resume" not in signature(IterBasedTrainLoop.__init__).parameters,
    reason="this MMEngine always skips what was seen",
)
def test_what_a_resumed_loop_does_not_skip_is_visited_anew_with_other_numbers(tmp_path):
    loop = "iterations, not skipped"
    seen, _ = train(tmp_path / "whole", loop, "infinite", "none")
    middle = str(tmp_path / "whole/iter_5.pth")
    again, _ = train(tmp_path / "again", loop, "infinite", "none", resume=middle)
    draws = torch.cat([*seen[:5], *again])
    assert len(draws[:, 1].unique()) == len(draws)


@pytest.mark.parametrize(
    ("loop", "sampler", "wrapper"),
    [
        ("epochs", "default", "concat"),
        ("epochs", "balanced, many", "repeat"),
        ("iterations", "default", "repeat"),
        ("iterations", "infinite", "none"),
    ],
)
def test_two_processes_see_the_images_of_one(loop, sampler, wrapper, tmp_path, monkeypatch):
    one, _ = train(tmp_path / "one", loop, sampler, wrapper)
    shares = []
    for rank in range(2):
        for module in ("mmengine.dataset.sampler", visits.__name__):
            monkeypatch.setattr(f"{module}.get_dist_info", lambda rank=rank: (rank, 2))
        monkeypatch.setattr(
            "mmglan.datasets.lesion_balanced_sampler.get_dist_info", lambda rank=rank: (rank, 2)
        )
        share, _ = train(tmp_path / str(rank), loop, sampler, wrapper, batch_size=1)
        shares.append(torch.cat(share))
    both = torch.stack(shares, dim=1).flatten(0, 1)
    assert torch.equal(both, torch.cat(one))


def test_repeated_images_that_make_shares_equal_draw_other_numbers():
    sampler = SimpleNamespace(dataset=range(3))
    numbered = visits.NumberedSampler(sampler)
    numbered.world_size, entropy = 2, set()
    for numbered.rank, share in enumerate([[0, 2], [1, 0]]):
        entropy |= {numbered._visit(0, place, index).entropy for place, index in enumerate(share)}
    assert len(entropy) == 4


def test_a_plain_sampler_of_pytorch_is_numbered_too():
    sampler = visits.NumberedSampler(RandomSampler(range(4)))
    first, second = list(BatchSampler(sampler, 2, False)), list(BatchSampler(sampler, 2, False))
    assert sorted(visit for batch in first for visit in batch) == [0, 1, 2, 3]
    assert len({visit.entropy for batch in first + second for visit in batch}) == 8
    assert not hasattr(sampler, "skip") and not hasattr(sampler, "set_epoch")


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Stream(), batch_size=1),
        DataLoader(range(3), batch_size=None),
        DataLoader(range(3), batch_sampler=[[0], [1, 2]]),
    ],
)
def test_loaders_without_indices_or_with_other_batches_are_left_as_they_are(loader):
    before = [torch.as_tensor(batch).tolist() for batch in loader]
    visits.number_visits(loader, 0)
    visits.start_round(loader, 1, 2)
    assert [torch.as_tensor(batch).tolist() for batch in loader] == before


@pytest.mark.parametrize(
    ("iteration", "validated"), [(0, False), (5, True), (6, False), (9, True), (3, False)]
)
def test_iteration_resumed_from_is_validated_when_its_turn_was(iteration, validated):
    from mmengine.runner import IterBasedTrainLoop

    runs = []
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    loop._iter, loop._max_iters, loop.val_begin, loop.val_interval = iteration, 9, 4, 5
    val_loop = SimpleNamespace(run=lambda: runs.append(iteration))
    ResumedRunHook().before_train(SimpleNamespace(train_loop=loop, val_loop=val_loop))
    assert bool(runs) == validated
