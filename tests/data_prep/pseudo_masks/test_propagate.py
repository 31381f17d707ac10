"""Lesions followed from their bookmark's slice to those around."""

import numpy as np
import pytest

from data_prep.pseudo_masks.mask_metrics import dice
from data_prep.pseudo_masks.propagate import propagate

DEPTH, KEY, RADIUS = 17, 8, 12


def ellipsoid(radius_z=6.0, shift=0.0):
    """Bool `(Z, Y, X)`: round on every slice, its middle moved by `shift` pixels per slice."""
    z, y, x = np.mgrid[:DEPTH, :64, :64]
    x = x - shift * (z - KEY)
    inside = (((y - 30) ** 2 + (x - 33) ** 2) / RADIUS**2 + (z - KEY) ** 2 / radius_z**2) < 1
    return inside


def scan(lesion, lesion_value=160.0, noise=6.0):
    grey = np.where(lesion, lesion_value, 90.0)
    return grey + np.random.default_rng(3).normal(0, noise, grey.shape)


def follow(grey, lesion, reach=4, **more):
    return propagate(grey.__getitem__, DEPTH, KEY, lesion[KEY], reach, **more)


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("value", [160.0, 40.0])
def test_an_ellipsoid_is_followed_up_and_down(shift, value):
    lesion = ellipsoid(shift=shift)
    found = follow(scan(lesion, value), lesion)
    assert sorted(found) == [4, 5, 6, 7, 9, 10, 11, 12]
    assert min(dice(mask, lesion[z]) for z, mask in found.items()) > 0.95


def test_it_is_not_followed_beyond_its_end():
    lesion = ellipsoid(radius_z=3.5)  # slices 5 … 11, on the outermost less than half as large
    found = follow(scan(lesion), lesion, reach=8)
    assert sorted(found) == [6, 7, 9, 10]


def test_nor_where_another_intensity_begins():
    lesion = ellipsoid()
    grey = scan(lesion)
    grey[10:][lesion[10:]] -= 50  # still brighter than around
    assert sorted(follow(grey, lesion)) == [4, 5, 6, 7, 9]


def test_nor_beyond_the_volume():
    lesion = ellipsoid(radius_z=30)
    found = propagate(scan(lesion).__getitem__, DEPTH, 1, lesion[1], 3)
    assert sorted(found) == [0, 2, 3, 4]


def test_nor_to_a_place_that_is_taken():
    lesion = ellipsoid()
    found = follow(scan(lesion), lesion, is_free=lambda z, mask: z != 10)
    assert sorted(found) == [4, 5, 6, 7, 9]


def test_reach_of_nothing():
    lesion = ellipsoid()
    assert follow(scan(lesion), lesion, reach=0) == {}


def test_same_masks_whatever_ran_before():
    lesion = ellipsoid()
    grey = scan(lesion, noise=25.0)
    first = follow(grey, lesion)
    follow(scan(~lesion), lesion)
    again = follow(grey, lesion)
    assert sorted(first) == sorted(again)
    assert all(np.array_equal(first[z], again[z]) for z in first)
