"""Dice and surface distance, on masks drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from data_prep.pseudo_masks import mask_metrics

EMPTY = np.zeros((6, 8), bool)


def block(rows, columns, shape=(6, 8)):
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


def test_dice_by_hand():
    a, b = block(slice(0, 2), slice(0, 4)), block(slice(1, 3), slice(0, 4))
    assert mask_metrics.dice(a, b) == 0.5
    assert mask_metrics.dice(a, a) == 1.0
    assert mask_metrics.dice(a, EMPTY) == 0.0
    assert mask_metrics.dice(EMPTY, EMPTY) == 1.0
    assert mask_metrics.dice(a * 3, b.astype(np.uint8) * 255) == 0.5


def test_distance_of_two_pixels_is_that_of_their_centres():
    a, b = block(2, 1), block(2, 4)
    assert mask_metrics.average_surface_distance(a, b, (0.5, 9.0)) == 1.5
    a, b = block(0, 0), block(3, 4)
    assert mask_metrics.average_surface_distance(a, b, (1.0, 1.0)) == 5.0


def test_both_surfaces_are_pooled():
    """One pixel against a column of three: distances 2 | 2, √5, √5, mean over all four."""
    a, b = block(2, 1), block(slice(1, 4), 3)
    expected = (2 + 2 + 2 * np.sqrt(5)) / 4
    assert mask_metrics.average_surface_distance(a, b, (1, 1)) == pytest.approx(expected)
    assert mask_metrics.average_surface_distance(b, a, (1, 1)) == pytest.approx(expected)


def test_pixels_inside_do_not_count():
    """A ring and the same ring filled differ in no surface pixel."""
    full = block(slice(1, 6), slice(1, 6), (7, 7))
    ring = full.copy()
    ring[3, 3] = False
    # The hole gives the ring four more surface pixels, each 1 from the outline.
    assert mask_metrics.average_surface_distance(full, ring, (1, 1)) == pytest.approx(
        4 / (16 + 16 + 4)
    )


def test_the_border_of_the_image_is_a_surface():
    a = np.ones((3, 3), bool)
    b = block(slice(0, 3), slice(0, 2), (3, 3))
    # b's surface: all 6 pixels; a's: 8 of 9. Only b's (1, 1) and a's last column lie off.
    assert mask_metrics.average_surface_distance(a, b, (1, 1)) == pytest.approx(
        (3 * 1 + 1 * 0 + 1) / 14
    )


def test_empty_masks():
    a = block(2, 1)
    assert mask_metrics.average_surface_distance(EMPTY, EMPTY, (1, 1)) == 0.0
    assert mask_metrics.average_surface_distance(a, EMPTY, (1, 1)) == float("inf")
    assert mask_metrics.average_surface_distance(EMPTY, a, (1, 1)) == float("inf")


def test_spacing_is_x_y_z_in_three_dimensions():
    a, b = np.zeros((2, 4, 4, 4), bool)
    a[0, 1, 1] = b[3, 1, 1] = True
    assert mask_metrics.average_surface_distance(a, b, (1.0, 1.0, 2.5)) == 7.5


@pytest.mark.parametrize("seed", range(5))
def test_distance_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 9, 11)) < 0.4
    spacing = (0.7, 1.9)

    def points(mask):
        padded = np.pad(mask, 1)
        inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        return np.argwhere(mask & ~inner) * spacing[::-1]

    distances = cdist(points(a), points(b))
    expected = np.r_[distances.min(0), distances.min(1)].mean()
    assert mask_metrics.average_surface_distance(a, b, spacing) == pytest.approx(expected)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"Expected two masks of one shape but got \(6, 8\) and"):
        mask_metrics.dice(EMPTY, EMPTY.T)
    with pytest.raises(ValueError, match=r"Expected 2 positive spacings but got \(1, 1, 1\)"):
        mask_metrics.average_surface_distance(EMPTY, EMPTY, (1, 1, 1))
    with pytest.raises(ValueError, match="positive spacings"):
        mask_metrics.average_surface_distance(EMPTY, EMPTY, (1, 0))
