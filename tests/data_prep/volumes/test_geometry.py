"""Stored grids of every orientation and their axial LPS form."""

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from data_prep.errors import DataError
from data_prep.volumes.geometry import Grid

IDENTITY = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)


def all_orientations():
    """The 48 ways to store a volume along the body axes, mirrored ones included."""
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        matrix = np.zeros((3, 3))
        for stored, body in enumerate(order):
            matrix[body, stored] = signs[stored]
        yield matrix


def grid_of(image):
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def test_every_orientation_becomes_axial_and_comes_back(make_image):
    for direction in all_orientations():
        image = make_image(direction=direction)
        stored = sitk.GetArrayFromImage(image)
        grid = grid_of(image)
        axial = grid.to_axial(stored)
        assert axial.shape == grid.axial_shape
        assert np.array_equal(grid.to_stored(axial), stored)
        # Each axial axis runs along +x, +y, +z of the body.
        corners = grid.mm_of_stored_index(grid.stored_index(np.vstack([np.zeros(3), np.eye(3)])))
        assert np.allclose(corners[1:] - corners[0], np.diag(grid.axial_spacing))
        # A voxel has the same value in both, and the same place as SimpleITK says.
        index = np.array([1, 4, 2])
        x, y, z = np.round(grid.axial_index(index[None])[0]).astype(int)
        assert axial[z, y, x] == stored[2, 4, 1]
        point = image.TransformIndexToPhysicalPoint([int(i) for i in index])
        assert np.allclose(grid.mm_of_stored_index(index[None])[0], point)
        assert np.allclose(grid.stored_index_of_mm(np.array([point]))[0], index)


def test_oblique_grid_goes_to_the_nearest_axes_without_resampling(make_image):
    turn = Rotation.from_euler("xyz", [12, -20, 9], degrees=True).as_matrix()
    sagittal = np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]])
    image = make_image(direction=turn @ sagittal)
    grid = grid_of(image)
    assert grid.axes == (2, 0, 1)
    assert grid.flipped == (False, False, True)
    assert grid.axial_spacing == (3.0, 0.75, 1.25)
    stored = sitk.GetArrayFromImage(image)
    assert sorted(grid.to_axial(stored).ravel()) == sorted(stored.ravel())
    points = np.array([[0.3, 1.7, 2.2], [4.0, 3.1, 0.4]])
    assert np.allclose(grid.stored_index(grid.axial_index(points)), points)
    assert np.allclose(grid.stored_index_of_mm(grid.mm_of_stored_index(points)), points)


def test_difference_names_shape_or_distance():
    one = Grid((4, 5, 6), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), IDENTITY)
    flipped = Grid((4, 5, 6), (1.0, 1.0, 2.0), (0.0, 0.0, 10.0), (1.0, 0, 0, 0, 1, 0, 0, 0, -1))
    assert one.difference_from(flipped) is None
    nudged = Grid((4, 5, 6), (1.0, 1.0, 2.0), (0.05, 0.0, 0.0), IDENTITY)
    assert nudged.difference_from(one) is None
    image = Grid((384, 384, 19), (0.5, 0.5, 3.6), (0.0, 0.0, 0.0), IDENTITY)
    for offset, same in ((0.056, True), (0.12, True), (0.13, False)):
        mask = Grid((384, 384, 19), (0.5, 0.5, 3.6), (0.0, offset, 0.0), IDENTITY)
        assert (mask.difference_from(image) is None) == same
    moved = Grid((4, 5, 6), (1.0, 1.0, 2.0), (3.0, 0.0, 4.0), IDENTITY)
    assert moved.difference_from(one) == "the same position but got corners up to 5 mm apart"
    other = Grid((4, 5, 7), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), IDENTITY)
    assert other.difference_from(one) == "4 x 5 x 6 voxels but got 4 x 5 x 7"


@pytest.mark.parametrize(
    ("spacing", "origin", "direction", "message"),
    [
        (
            (1.0, 0.0, 1.0),
            (0.0, 0.0, 0.0),
            IDENTITY,
            "v: Expected a positive spacing but got 1 x 0 x 1 mm. Repair the header.",
        ),
        (
            (1.0, 1.0, 1.0),
            (0.0, float("nan"), 0.0),
            IDENTITY,
            "v: Expected a finite geometry but got NaN or infinity in the header. Repair the "
            "header.",
        ),
        (
            (1.0, 1.0, 1.0),
            (0.0, 0.0, 0.0),
            (1.0, 0, 0, 0, 1, 0.4, 0, 0, 0.9165),
            "v: Expected axes at right angles but got a sheared grid. Resample it to a "
            "right-angled one.",
        ),
    ],
)
def test_broken_geometry_is_refused(spacing, origin, direction, message):
    with pytest.raises(DataError) as caught:
        Grid((2, 2, 2), spacing, origin, direction).check("v")
    assert str(caught.value) == message
