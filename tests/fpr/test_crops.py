"""Crops by hand."""

import numpy as np
import pytest

from mmglan.fpr.crops import SIDE, SLICES, Jitter, crop, normalised

Z, Y, X = np.meshgrid(np.arange(20.0), np.arange(80.0), np.arange(90.0), indexing="ij")
BOX = np.array([30.0, 20, 5, 54, 32, 8])  # 24 x 12 pixels, 3 slices; centre 41.5, 25.5, 6


def test_places_of_the_voxels():
    z, y, x = (crop(axis.astype(np.float32), BOX)[0] for axis in (Z, Y, X))
    assert z.shape == (SLICES, SIDE, SIDE)
    assert z[:, 0, 0] == pytest.approx(6 + np.linspace(-4, 4, SLICES))
    # The side is 48, twice the longer side of the box: voxels of two pixels.
    assert x[0, 0] == pytest.approx(41.5 + 2 * (np.arange(SIDE) - 11.5))
    assert y[0, :, 0] == pytest.approx(25.5 + 2 * (np.arange(SIDE) - 11.5))


def test_inside_of_the_box():
    inside = crop(Z.astype(np.float32), BOX)[1]
    assert inside.sum() == 3 * 6 * 12 and inside[4, 12, 12] == 1
    assert inside.any((1, 2)).tolist() == [False] * 3 + [True] * 3 + [False] * 3


def test_a_deep_box_takes_slices_farther_apart():
    deep = np.array([30.0, 20, 0, 54, 32, 16])
    assert crop(Z.astype(np.float32), deep)[0][:, 0, 0] == pytest.approx(
        np.clip(7.5 + np.linspace(-16, 16, SLICES), 0, 19)
    )


def test_jitter():
    plain = crop(X.astype(np.float32), BOX)
    assert np.array_equal(crop(X.astype(np.float32), BOX, Jitter(mirror=True)), plain[..., ::-1])
    moved = crop(X.astype(np.float32), BOX, Jitter((0.1, 0.0, 0.0), 0.5))
    assert moved[0, 0, 0] == pytest.approx(41.5 + 2.4 + np.arange(SIDE) - 11.5, abs=1e-4)


def test_normalised():
    volume = normalised(np.array([[[1, 3]]], np.uint16))
    assert volume.tolist() == [[[-1, 1]]] and volume.dtype == np.float32
    assert not normalised(np.full((2, 2, 2), 7)).any()
