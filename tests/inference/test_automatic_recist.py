"""Axes of digital ellipses of known size: any orientation, any spacing, any place in the grid."""

import math

import numpy as np
import pytest

from mmglan.inference.automatic_recist import measure_soft_mask


def draw_ellipse(axes_mm, angle, spacing, centre, size, samples):
    """Share of each pixel's `samples` x `samples` points inside of an ellipse, `(size, size)`."""
    inside_pixel = (np.arange(samples) + 0.5) / samples - 0.5
    places = (np.arange(size)[:, None] + inside_pixel).ravel()
    x, y = (places - centre[0]) * spacing[0], (places - centre[1])[:, None] * spacing[1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    inside = (2 * along / axes_mm[0]) ** 2 + (2 * across / axes_mm[1]) ** 2 <= 1
    return inside.reshape(size, samples, size, samples).mean(axis=(1, 3))


def random_ellipses(count, shortest):
    """Axes in mm, angle, spacing in mm, centre, size of the grid; `shortest` axis in pixels."""
    random = np.random.default_rng(5)
    for _ in range(count):
        spacing = random.uniform(0.4, 1.6, 2)
        short = random.uniform(shortest, 2 * shortest) * spacing.max()
        axes = np.array([short / random.uniform(0.4, 0.9), short])
        size = int(axes[0] / spacing.min()) + 8
        centre = size / 2 + random.uniform(-0.5, 0.5, 2)
        yield axes, random.uniform(0, math.pi), spacing, centre, size


def measured(mask, spacing):
    found = measure_soft_mask(mask, spacing)
    return np.array([found.long_length(spacing), found.short_length(spacing)])


def test_axes_of_masks_within_one_pixel():
    for axes, angle, spacing, centre, size in random_ellipses(200, shortest=4):
        mask = draw_ellipse(axes, angle, spacing, centre, size, samples=1) > 0
        assert np.abs(measured(mask, spacing) - axes).max() < spacing.max()


@pytest.mark.parametrize("soft", [True, False], ids=["soft mask", "mask on a finer grid"])
def test_axes_within_two_percent_at_four_samples_per_pixel(soft):
    for axes, angle, spacing, centre, size in random_ellipses(100, shortest=16):
        if soft:
            found = measured(draw_ellipse(axes, angle, spacing, centre, size, 4), spacing)
        else:
            mask = draw_ellipse(axes, angle, spacing / 4, centre * 4, size * 4, 1) > 0
            found = measured(mask, spacing / 4)
        assert np.abs(found / axes - 1).max() < 0.02


def test_nothing_to_measure():
    assert measure_soft_mask(np.full((4, 4), 0.5)) is None
