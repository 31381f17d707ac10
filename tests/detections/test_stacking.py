"""Stacking by hand: chains, one-to-one links, gaps, empty slices."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from mmglan.detections import stacking
from mmglan.detections.stacking import Stacking, stack


def box(x, score, width=10):
    return [x, 0, x + width, 10, score]


def test_worked_example():
    result = doctest.testmod(stacking)
    assert result.attempted > 0 and result.failed == 0


def test_union_and_maximum():
    stacks = stack([[box(0, 0.2)], [box(3, 0.9)], [box(6, 0.4)]])
    assert stacks.boxes.tolist() == [[0, 0, 0, 16, 10, 3, 0.9]]
    assert stacks.members == [[(0, 0), (1, 0), (2, 0)]]


def test_links_need_more_than_the_threshold():
    # Two boxes of width 11 shifted by 9: common 2, together 20, IoU exactly 0.1.
    pair = [[box(0, 0.5, 11)], [box(9, 0.6, 11)]]
    assert len(stack(pair).members) == 2
    assert len(stack(pair, iou_threshold=0.09).members) == 1


def test_one_to_one_by_falling_iou():
    # Both upper boxes overlap the lower one; the closer one gets it whatever the scores are.
    stacks = stack([[box(0, 0.5)], [box(4, 0.9), box(1, 0.1)]])
    assert stacks.members == [[(1, 0)], [(0, 0), (1, 1)]]
    assert stacks.boxes[:, 6].tolist() == [0.9, 0.5]
    # Equal IoU: the order of the rows.
    assert stack([[box(0, 0.5)], [box(2, 0.1), box(2, 0.2)]]).members[0] == [(0, 0), (1, 0)]


def test_gap_and_missing_slice_end_a_chain():
    assert len(stack([[box(0, 0.5)], [], [box(0, 0.6)]]).members) == 2
    stacks = stack({7: [box(0, 0.5)], 9: [box(0, 0.6)], 8: [box(1, 0.1)]})
    assert stacks.members == [[(7, 0), (8, 0), (9, 0)]]
    assert stacks.boxes[0, [2, 5]].tolist() == [7, 10]
    assert len(stack({7: [box(0, 0.5)], 9: [box(0, 0.6)]}).members) == 2


def test_a_gap_is_bridged_to_the_nearest_end():
    slices = [[box(0, 0.5)], [], [box(1, 0.6)]]
    stacks = stack(slices, max_gap=1)
    assert stacks.members == [[(0, 0), (2, 0)]]
    assert stacks.boxes[0].tolist() == [0, 0, 0, 11, 10, 3, 0.6]
    assert len(stack({0: [box(0, 0.5)], 3: [box(0, 0.6)]}, max_gap=1).members) == 2
    # Both of slice 2 fit the box of slice 1, the closer one is linked; the other one goes on from
    # the end of slice 0, which slice 1 has left free.
    slices = [[box(6, 0.3), box(0, 0.2)], [box(0, 0.4)], [box(0, 0.5), box(5, 0.6)]]
    assert stack(slices, max_gap=1).members == [[(0, 0), (2, 1)], [(0, 1), (1, 0), (2, 0)]]


@pytest.mark.parametrize(
    ("rule", "score"),
    [("max", 0.8), ("mean", 0.5), ("noisy-or", 1 - 0.8 * 0.5 * 0.2), ("top2", 0.65), ("top5", 0.3)],
)
def test_score_of_a_chain(rule, score):
    stacks = stack([[box(0, 0.2)], [box(0, 0.5)], [box(0, 0.8)]], score=rule)
    assert stacks.boxes[0, 6] == pytest.approx(score)


def test_a_rule_stacks_by_its_values():
    slices = {0: [box(0, 0.5)], 2: [box(0, 0.7)], 3: [box(5, 0.9)]}
    assert Stacking() == Stacking(iou=0.1, gap=0, score="max")
    for rule in (
        Stacking(),
        Stacking(iou=0.0),
        Stacking(iou=0.5),
        Stacking(gap=1),
        Stacking(score="mean"),
    ):
        expected = stack(slices, iou_threshold=rule.iou, max_gap=rule.gap, score=rule.score)
        stacks = rule.stacks(slices)
        assert stacks.members == expected.members
        assert stacks.boxes.tolist() == expected.boxes.tolist()
    assert [len(Stacking(iou=iou).stacks(slices).members) for iou in (0.1, 0.5)] == [2, 3]
    assert len(Stacking(gap=1).stacks(slices).members) == 1
    assert Stacking(score="mean").stacks(slices).boxes[0, 6] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(iou=-0.1), "IoU from 0 to below 1 for stacking but got -0.1"),
        (dict(iou=1), "IoU from 0 to below 1 for stacking but got 1"),
        (dict(iou=1.5), "got 1.5"),
        (dict(gap=-1), "gap of at least 0 slices but got -1"),
        (dict(score="median"), "max, mean, noisy-or or topN"),
        (dict(score="top0"), "got 'top0'"),
        (dict(score="top100"), "got 'top100'"),
        (dict(score="xtop3"), "got 'xtop3'"),
    ],
)
def test_a_rule_out_of_its_range_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Stacking(**values)


def test_a_long_chain_may_come_before_a_higher_box():
    slices = [[box(0, 0.5), box(50, 0.6)], [box(0, 0.5)]]
    assert stack(slices).members[0] == [(0, 1)]
    assert stack(slices, score="top2").members[0] == [(0, 0), (1, 0)]


def test_nothing():
    for nothing in ([], {}, [[], []]):
        stacks = stack(nothing)
        assert stacks.boxes.shape == (0, 7) and stacks.members == []


def test_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"slice 1: Expected.*\(n, 5\)"):
        stack([[], [[0, 0, 1, 1]]])


def test_every_box_is_in_one_stack():
    rng = np.random.default_rng(0)
    slices = []
    for _ in range(12):
        low = rng.uniform(0, 50, (rng.integers(0, 9), 2))
        slices.append(np.column_stack([low, low + rng.uniform(5, 25, low.shape), low[:, 0] / 50]))
    stacks = stack(slices)
    members = sorted(member for chain in stacks.members for member in chain)
    assert members == [(z, row) for z in range(12) for row in range(len(slices[z]))]
    assert (np.diff(stacks.boxes[:, 6]) <= 0).all()
    for chain, found in zip(stacks.members, stacks.boxes, strict=True):
        assert [z for z, _ in chain] == list(range(int(found[2]), int(found[5])))


def test_default_threshold_is_a_tenth():
    # Shifted by 8.9 of 11: common 2.1, together 19.9, IoU 0.1055; by 9: 2 of 20, not above 0.1.
    assert len(stack([[box(0, 0.5, 11)], [box(8.9, 0.6, 11)]]).members) == 1
    assert len(stack([[box(0, 0.5, 11)], [box(9, 0.6, 11)]]).members) == 2


def test_boxes_apart_along_both_axes_do_not_touch():
    # Apart by 1 along x and y: two negative sides must not make an intersection.
    apart = [[[0, 0, 10, 10, 0.5]], [[11, 11, 21, 21, 0.6]]]
    assert len(stack(apart, iou_threshold=0).members) == 2
    # Beside each other, one pixel high, common side 0.
    beside = [[[0, 0, 2, 1, 0.5]], [[2, 0, 4, 1, 0.6]]]
    assert len(stack(beside, iou_threshold=0).members) == 2


def test_boxes_below_one_pixel_are_linked_and_empty_ones_are_not():
    small = [[[0, 0, 0.5, 0.5, 0.5]], [[0, 0, 0.5, 0.4, 0.6]]]
    assert len(stack(small).members) == 1
    with np.errstate(all="raise"):
        assert len(stack([[[3, 3, 3, 3, 0.5]], [[3, 3, 3, 3, 0.6]]]).members) == 2


def test_whole_numbers_are_taken_as_numbers():
    unsigned = [np.array([[20, 0, 30, 10, 1]], np.uint8), np.array([[0, 0, 10, 10, 1]], np.uint8)]
    stacks = stack(unsigned)
    assert stacks.boxes.dtype == np.float64 and len(stacks.members) == 2


def test_equal_scores_stand_in_the_order_of_the_slices():
    scores = np.random.default_rng(0).choice([0.3, 0.5, 0.7], 200)
    stacks = stack({2 * z: [box(0, score)] for z, score in enumerate(scores)})
    wanted = sorted(range(200), key=lambda z: -scores[z])
    assert (stacks.boxes[:, 2] / 2).tolist() == wanted


def test_equal_overlaps_are_linked_in_the_order_of_the_rows():
    # Two hundred boxes apart, each with two equal partners above it: the first takes it.
    widths = np.random.default_rng(0).choice([10, 11, 12], 200)
    lower = [box(50 * i, 0.5) for i in range(200)]
    upper = [box(50 * i, 0.5, width) for i, width in enumerate(widths)] * 2
    links = [chain for chain in stack([lower, upper]).members if len(chain) == 2]
    assert links == [[(0, i), (1, i)] for i in range(200)]
