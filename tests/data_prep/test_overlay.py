"""Colours and places of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep import overlay
from data_prep.bookmarks.recist import Bookmark

YELLOW, GREEN, RED = (255, 255, 0), (0, 255, 0), (255, 0, 0)
CYAN = (0, 255, 255)


def pixels(picture, colour):
    """Set of (x, y) of a colour."""
    return {(int(x), int(y)) for y, x in np.argwhere((picture == colour).all(axis=2))}


def frame(x1, y1, x2, y2):
    """Outline pixels from (x1, y1) to (x2, y2), both included."""
    horizontal = {(x, y) for x in range(x1, x2 + 1) for y in (y1, y2)}
    return horizontal | {(x, y) for x in (x1, x2) for y in range(y1, y2 + 1)}


def test_masks_are_outlined_on_their_own_pixels():
    mask = np.zeros((12, 14), bool)
    mask[2:7, 3:9] = True
    image = np.zeros((12, 14), np.uint8)
    assert pixels(overlay.draw(image, gt_masks=[mask]), YELLOW) == frame(3, 2, 8, 6)
    assert pixels(overlay.draw(image, predicted_masks=[mask]), GREEN) == frame(3, 2, 8, 6)
    assert not image.any()


def test_boxes_surround_the_pixels_that_they_cover():
    image = np.zeros((12, 14), np.uint8)
    picture = overlay.draw(image, gt_boxes=[(3, 2, 9, 7)], predicted_boxes=[(10, 8, 13, 11)])
    assert pixels(picture, YELLOW) == frame(3, 2, 8, 6)
    assert pixels(picture, GREEN) == frame(10, 8, 12, 10)


def test_predictions_lie_over_the_truth():
    image = np.zeros((12, 14), np.uint8)
    box = [(3, 2, 9, 7)]
    picture = overlay.draw(image, gt_boxes=box, predicted_boxes=box)
    assert pixels(picture, GREEN) == frame(3, 2, 8, 6) and not pixels(picture, YELLOW)


@pytest.mark.parametrize("top", [60, 20, 0])
def test_scores_of_boxes_that_lie_on_each_other_can_be_read(top):
    """Each score keeps all the red that it has when it is drawn alone: none lies on another."""
    image = np.zeros((100, 120), np.uint8)
    boxes = [(30, top, 50, top + 20), (32, top + 1, 48, top + 18), (30, top, 44, top + 14)]
    scores = [0.88, 0.05, 0.88]

    def reddish(**drawn):
        return int((overlay.draw(image, **drawn)[..., 0] > 0).sum())

    alone = [
        reddish(predicted_boxes=[box], scores=[score])
        for box, score in zip(boxes, scores, strict=True)
    ]
    assert reddish(predicted_boxes=boxes, scores=scores) == sum(alone) > 0


@pytest.mark.parametrize("top", [40, 0])
def test_scores_are_red_and_near_their_box(top):
    image = np.zeros((80, 120), np.uint8)
    box = (30, top, 70, top + 20)
    plain = overlay.draw(image, predicted_boxes=[box])
    picture = overlay.draw(image, predicted_boxes=[box], scores=[0.87])
    changed = np.argwhere((picture != plain).any(axis=2))
    assert len(changed) > 20
    assert (picture[..., 0][tuple(changed.T)] > 0).all()
    assert not picture[..., 2].any()
    rows = changed[:, 0]
    if top:
        assert rows.max() < top and rows.min() > top - 16
    else:
        assert rows.min() > 20 and rows.max() < 36


def test_bookmarks_are_two_lines():
    image = np.zeros((9, 11), np.uint8)
    bookmark = Bookmark([[1, 4], [9, 4]], [[5, 2], [5, 7]])
    expected = {(x, 4) for x in range(1, 10)} | {(5, y) for y in range(2, 8)}
    assert pixels(overlay.draw(image, bookmarks=[bookmark]), CYAN) == expected


def test_pictures_are_enlarged_with_what_is_drawn():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    picture = overlay.draw(image, gt_boxes=[(1, 0, 3, 2)], scale=5)
    assert picture.shape == (15, 20, 3)
    assert pixels(picture, YELLOW) == frame(5, 0, 14, 9)
    assert (picture[12, 2] == image[2, 0]).all()
    bookmark = Bookmark([[0, 1], [3, 1]], [[2, 0], [2, 2]])
    drawn = pixels(overlay.draw(image, bookmarks=[bookmark], scale=5), CYAN)
    assert {(2, 7), (17, 7), (12, 2), (12, 12)} <= drawn
    assert min(x for x, _ in drawn) == 2 and max(x for x, _ in drawn) == 17


def test_intensities_are_stretched_unless_they_are_bytes():
    assert overlay.draw(np.array([[-5.0, 0.0, 5.0]]))[0, :, 1].tolist() == [0, 128, 255]
    assert overlay.draw(np.array([[3, 7]], np.uint8))[0, :, 1].tolist() == [3, 7]
    assert overlay.draw(np.full((2, 2), 65535, np.uint16)).max() == 0
    colour = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    assert (overlay.draw(colour) == colour).all()


def test_what_does_not_fit_is_refused():
    image = np.zeros((6, 6), np.uint8)
    with pytest.raises(ValueError, match=r"Expected one score per predicted box \(1\) but got 2"):
        overlay.draw(image, predicted_boxes=[(0, 0, 2, 2)], scores=[0.1, 0.2])
    with pytest.raises(ValueError, match=r"Expected a mask of the image's shape \(6, 6\) but got"):
        overlay.draw(image, gt_masks=[np.zeros((5, 6))])
    with pytest.raises(ValueError, match=r"Expected an image of shape \(H, W\)"):
        overlay.draw(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="at least one image"):
        overlay.sheet([])
    with pytest.raises(ValueError, match="Expected 1 captions but got 2"):
        overlay.sheet([image], ["a", "b"])


def test_a_sheet_places_pictures_row_by_row():
    pictures = [np.full((4, 6), 60 * k, np.uint8) for k in (1, 2, 3)]
    got = overlay.sheet(pictures, columns=2)
    assert got.shape == (2 * 8 + 4, 2 * 10 + 4, 3)
    assert (got[4:8, 4:10] == 60).all()
    assert (got[4:8, 14:20] == 120).all()
    assert (got[12:16, 4:10] == 180).all()
    assert not got[12:16, 14:20].any()


def test_captions_stand_above_their_pictures():
    got = overlay.sheet([np.full((10, 40), 90, np.uint8)] * 2, ["0.5", ""], columns=2)
    assert got.shape == (4 + 14 + 10 + 4, 4 + 44 * 2, 3)
    assert got[4:18, 4:44].max() == 255 and got[4:18, 48:88].max() == 0
    assert (got[18:28, 4:44] == 90).all()
