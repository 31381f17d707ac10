"""Normalisation as in the paper, windows, and 16 bits."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.dataset.one_volume import intensity


def test_values_above_the_99th_percentile_become_the_largest_that_remains():
    image = np.arange(200, dtype=np.int16).reshape(10, 20)
    image[0, 0] = 5000
    # 200 values: the percentile lies between the 198th and the 199th smallest, 198 remains at most.
    got = intensity.normalize(image)
    assert got.dtype == np.float32 and got.shape == image.shape
    assert got[0, 0] == 1.0
    assert got.max() == 1.0 and got.min() == 0.0
    assert (got == 1.0).sum() == 3  # 5000, 199, 198
    assert got[0, 1] == 0.0
    assert got[5, 0] == pytest.approx((100 - 1) / (198 - 1))


@pytest.mark.parametrize("size", [1, 2, 7, 99, 100, 101, 1000, 4097])
def test_normalisation_equals_its_definition(size):
    image = np.random.default_rng(size).gamma(2.0, 100.0, size)
    limit = np.percentile(image, 99)
    clipped = np.where(image > limit, image[image <= limit].max(), image)
    span = np.ptp(clipped) or 1.0
    expected = (clipped - clipped.min()) / span
    np.testing.assert_allclose(intensity.normalize(image), expected, atol=1e-6)


def test_volumes_are_normalised_as_one():
    volume = np.stack((np.zeros((4, 4)), np.full((4, 4), 10.0)))
    got = intensity.normalize(volume)
    assert got[0].max() == 0.0 and got[1].min() == 1.0


def test_constant_images_become_zero():
    assert not intensity.normalize(np.full((3, 3), 7, np.uint16)).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    image = np.ones((5, 5))
    image[2, 2] = bad
    with pytest.raises(ValueError, match="Expected finite intensities but got NaN or infinity"):
        intensity.normalize(image)


def test_an_empty_image_is_refused():
    with pytest.raises(ValueError, match="got an empty one"):
        intensity.normalize(np.zeros((0, 4)))


def test_wide_integers_do_not_overflow():
    image = np.array([[-(2**31), 2**31 - 1, 0]], np.int32).repeat(100, axis=0)
    np.testing.assert_allclose(intensity.normalize(image)[0], [0.0, 1.0, 0.5], atol=1e-6)


def test_a_window_clips_what_lies_outside():
    image = np.array([-1000, -160, 40, 240, 3000], np.int16)
    assert intensity.window(image, -160, 240).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match="Expected a window with low < high but got low=3, high=3"):
        intensity.window(image, 3, 3)


def test_sixteen_bits_round_to_the_nearest():
    got = intensity.to_uint16(np.array([0.0, 0.5, 1.0, 0.49 / 65535, 0.51 / 65535]))
    assert got.dtype == np.uint16
    assert got.tolist() == [0, 32768, 65535, 0, 1]
