import numpy as np
import pytest
from mmengine.registry import DATA_SAMPLERS

from mmglan.datasets.lesion_balanced_sampler import LesionBalancedSampler, balanced_epoch


class Slices:
    """A data set of which only the annotations matter: 1 lesion, 0 none, -1 one to be ignored."""

    def __init__(self, kinds):
        self.kinds = kinds

    def __len__(self):
        return len(self.kinds)

    def get_data_info(self, index):
        kind = self.kinds[index]
        return {"instances": [] if kind == 0 else [{"ignore_flag": int(kind < 0)}]}


def test_every_lesion_slice_once_and_the_stated_share_without():
    has_lesion = np.array([True] * 6 + [False] * 10)
    epoch = balanced_epoch(has_lesion, 0.25, seed=3, epoch=0)
    assert sorted(epoch)[:6] == [0, 1, 2, 3, 4, 5]
    assert len(epoch) == 8  # 6 with and 2 without: a quarter of 8
    assert len(set(epoch)) == 8


def test_epochs_walk_through_all_lesion_free_slices_before_one_comes_again():
    has_lesion = np.array([True] * 6 + [False] * 10)
    seen = [i for e in range(5) for i in balanced_epoch(has_lesion, 0.25, 3, e) if i >= 6]
    assert sorted(seen) == list(range(6, 16))
    again = [i for i in balanced_epoch(has_lesion, 0.25, 3, 5) if i >= 6]
    assert len(again) == 2


def test_few_lesion_free_slices_are_repeated_to_keep_the_share():
    epoch = balanced_epoch(np.array([True, True, True, False]), 0.5, 0, 0)
    assert sorted(epoch) == [0, 1, 2, 3, 3, 3]


@pytest.mark.parametrize("kinds", [[True] * 3, [False] * 3])
def test_one_kind_only_is_used_whole(kinds):
    assert sorted(balanced_epoch(np.array(kinds), 0.25, 0, 0)) == [0, 1, 2]


def test_share_of_nothing_leaves_lesion_free_slices_out():
    assert sorted(balanced_epoch(np.array([True, False, True]), 0.0, 0, 0)) == [0, 2]


def test_same_seed_same_epoch_same_order_else_another():
    has_lesion = np.array([True] * 20 + [False] * 20)
    first = balanced_epoch(has_lesion, 0.25, 7, 2)
    assert (first == balanced_epoch(has_lesion, 0.25, 7, 2)).all()
    assert (first != balanced_epoch(has_lesion, 0.25, 7, 3)).any()
    assert (first != balanced_epoch(has_lesion, 0.25, 8, 2)).any()


def test_an_ignored_lesion_is_none():
    sampler = LesionBalancedSampler(Slices([1, 0, -1]), seed=0)
    assert sampler.has_lesion.tolist() == [True, False, False]


def test_processes_share_an_epoch_and_get_equal_numbers():
    slices = Slices([1] * 7 + [0] * 5)
    shares = []
    for rank in range(2):
        sampler = DATA_SAMPLERS.build(
            dict(type="LesionBalancedSampler", lesion_free_fraction=0.3, dataset=slices, seed=1)
        )
        sampler.rank, sampler.world_size, sampler.num_samples = rank, 2, 5
        sampler.set_epoch(4)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1]) == 5
    whole = balanced_epoch(np.array([True] * 7 + [False] * 5), 0.3, 1, 4)
    assert sorted(shares[0] + shares[1]) == sorted(whole)


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"Expected 0 <= lesion_free_fraction < 1 but got"):
        LesionBalancedSampler(Slices([1, 0]), lesion_free_fraction=share, seed=0)
