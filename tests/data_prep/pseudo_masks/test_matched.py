"""Pairs of bookmarks and lesions."""

from data_prep.pseudo_masks.matched import match_by_overlap


def test_the_sum_of_overlaps_is_largest_not_each_in_turn():
    """Greedily 0 takes column 0 (0.6) and 1 is left with 0.1: 0.7 in all, against 1.0."""
    assert match_by_overlap([[0.6, 0.5], [0.5, 0.1]]) == {0: 1, 1: 0}


def test_pairs_without_overlap_do_not_count():
    assert match_by_overlap([[0.0, 0.0], [0.2, 0.0]]) == {1: 0}
    assert match_by_overlap([[0.1], [0.3]]) == {1: 0}
    assert match_by_overlap([]) == match_by_overlap([[], []]) == {}
