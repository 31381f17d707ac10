"""Enlarged parts in the corner of a picture."""

import numpy as np

from data_prep.overlay import GT, draw
from mmglan.reporting.insets import FRAME, add_inset, window


def test_the_window_is_a_square_around_the_box_inside_the_image():
    assert window((40, 50, 60, 58), (100, 120)) == (34, 38, 32)
    assert window((0, 0, 4, 4), (100, 120)) == (0, 0, 12)
    assert window((110, 90, 120, 100), (100, 120)) == (104, 84, 16)
    assert window((0, 0, 120, 100), (100, 120)) == (10, 0, 100)


def test_the_inset_stands_in_the_far_corner_and_shows_the_outline_enlarged():
    """A part of 16 pixels, 45 % of 200: five-fold, 80 pixels, at the right and the bottom."""
    image = np.full((100, 120), 50, np.uint8)
    box = (10, 10, 20, 20)
    picture = draw(image, gt_boxes=[box], scale=2)
    plain = picture.copy()
    layers = {"gt_boxes": [box, (90, 90, 95, 95)], "gt_masks": []}
    assert add_inset(picture, image, box, 2, layers)
    changed = np.argwhere((picture != plain).any(axis=2))
    assert changed.max(axis=0).tolist() == [199, 239]
    inset = picture[120:, 160:]
    assert (inset[0] == FRAME).all() and (inset[:, -1] == FRAME).all()
    columns = np.flatnonzero((inset == GT).all(axis=2).any(axis=0))
    assert columns[[0, -1]].tolist() == [15, 64]  # pixels 10 to 19 of a window from 7 on
    assert (picture[14, 14:46] == FRAME).all()


def test_what_would_not_be_enlarged_is_left_out():
    image = np.zeros((60, 60), np.uint8)
    picture = draw(image)
    assert not add_inset(picture, image, (0, 0, 50, 50), 1, {})
    assert not picture.any()
