"""Labelled voxels of a map, against scipy and by hand."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy import ndimage

from data_prep.volumes import labelled_voxels as module
from data_prep.volumes.labelled_voxels import labelled_voxels


def test_worked_example():
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_an_empty_map_has_no_labels():
    found = labelled_voxels(np.zeros((2, 3, 4), np.uint16))
    assert found.boxes.shape == (0, 6) and found.sizes.tolist() == [] and len(found.index) == 0


@pytest.mark.parametrize("density", [0.02, 1.0])
def test_equals_scipy_on_any_layout(density):
    rng = np.random.default_rng(0)
    stored = rng.choice([0, 3, 4, 70000], p=[1 - density, *[density / 3] * 3], size=(9, 8, 7))
    labels = stored.astype(np.uint32)[::-1].transpose(2, 1, 0)  # not in one piece
    found = labelled_voxels(labels)
    assert found.labels.tolist() == [3, 4, 70000]
    assert np.array_equal(found.labels[found.number], labels.ravel()[found.index])
    for label, size, box in zip(found.labels, found.sizes, found.boxes, strict=True):
        (places,) = ndimage.find_objects((labels == label).astype(int))
        assert size == (labels == label).sum()
        ends = [[side.start, side.stop] for side in reversed(places)]
        assert box.tolist() == [start for start, _ in ends] + [stop for _, stop in ends]
