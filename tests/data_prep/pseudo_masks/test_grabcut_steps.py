"""The steps of GrabCut's masks, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from data_prep.bookmarks.recist import Bookmark
from data_prep.pseudo_masks import grabcut, shapes


def picture(*rows):
    """Mask from rows of characters; `.` is background."""
    return np.array([[cell != "." for cell in row] for row in rows], np.uint8)


def plus(shape, centre, width, height):
    """A row of `width` and a column of `height` pixels that cross near their middles."""
    mask = np.zeros(shape, np.uint8)
    x, y = centre
    mask[y, x - width // 2 : x - width // 2 + width] = 1
    mask[y - height // 2 : y - height // 2 + height, x] = 1
    return mask


def test_initial_labels_of_the_paper_by_hand():
    """Segments certain (1), quadrilateral probable (3), all else probably background (2).

    The half axes are 3.5 and 2.5 pixels with the half pixel of the end points: a row one pixel off
    the long axis is 2 · 3.5 · (1 - 1/2.5) = 4.2 wide, one two pixels off 1.4. An ellipse would be
    6.4 and 4.2 wide.
    """
    bookmark = Bookmark([[1, 3], [7, 3]], [[4, 1], [4, 5]])
    labels = grabcut._initial_labels(bookmark, shapes.Frame.of(bookmark, (7, 9)), "paper")
    assert labels.tolist() == [
        [2, 2, 2, 2, 2, 2, 2, 2, 2],
        [2, 2, 2, 2, 1, 2, 2, 2, 2],
        [2, 2, 3, 3, 1, 3, 3, 2, 2],
        [2, 1, 1, 1, 1, 1, 1, 1, 2],
        [2, 2, 3, 3, 1, 3, 3, 2, 2],
        [2, 2, 2, 2, 1, 2, 2, 2, 2],
        [2, 2, 2, 2, 2, 2, 2, 2, 2],
    ]


def test_initial_labels_with_bounds_by_hand():
    """Certain background (0) beyond the ends and outside 1.3 of the ellipse, core certain (1).

    Half axes 6.5 and 4.5. Row 1, four pixels off the long axis: the ellipse reaches 2.97 pixels to
    either side, 1.3 of it 7.1, but beyond the ends (0.4 pixels and more) all is background. 0.8 of
    the quadrilateral ends three pixels off. The segments are cut by half a pixel: from 2.5 to 13.5
    they are drawn from pixel 3 to 14.
    """
    bookmark = Bookmark([[2, 5], [14, 5]], [[8, 1], [8, 9]])
    labels = grabcut._initial_labels(bookmark, shapes.Frame.of(bookmark, (11, 17)), "bounded")
    assert labels.tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 2, 2, 2, 2, 3, 3, 3, 3, 3, 2, 2, 2, 2, 0, 0],
        [0, 0, 2, 2, 3, 3, 3, 3, 1, 3, 3, 3, 3, 2, 2, 0, 0],
        [0, 0, 2, 3, 3, 3, 1, 1, 1, 1, 1, 3, 3, 3, 2, 0, 0],
        [0, 0, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 0, 0],
        [0, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
        [0, 0, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 0, 0],
        [0, 0, 2, 3, 3, 3, 1, 1, 1, 1, 1, 3, 3, 3, 2, 0, 0],
        [0, 0, 2, 2, 3, 3, 3, 3, 1, 3, 3, 3, 3, 2, 2, 0, 0],
        [0, 0, 2, 2, 2, 2, 3, 3, 1, 3, 3, 2, 2, 2, 2, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_corners_outside_the_bound_are_certain_background():
    """Half axes 20.5 and 15.5: (5, 5) lies at 1.374 of the ellipse, (5, 6) at 1.329, (6, 6) at
    1.294 and (7, 7) at 1.214.
    """
    bookmark = Bookmark([[5, 20], [45, 20]], [[25, 5], [25, 35]])
    labels = grabcut._initial_labels(bookmark, shapes.Frame.of(bookmark, (41, 51)), "bounded")
    assert [int(labels[y, x]) for x, y in ((5, 5), (5, 6), (6, 6), (7, 7))] == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        # Middle (13, 10.5), half side 6: x from 7 to 19, y from 4.5 to 16.5, rounded upwards.
        ((40, 50), (1, 1), (7, 5, 20, 18)),
        ((40, 50), (0.7, 0.7), (7, 5, 20, 18)),
        # Columns of twice the width: 12 to either side in the unit of a row, 6 columns of it.
        ((40, 50), (2, 1), (7, 0, 20, 24)),
        ((40, 50), (1, 2), (7, 8, 20, 15)),
        ((12, 15), (1, 1), (7, 5, 15, 12)),
        ((4, 5), (1, 1), (7, 5, 7, 5)),  # beyond the image: empty
    ],
)
def test_region_by_hand(shape, spacing, expected):
    bookmark = Bookmark([[10, 10.5], [16, 10.5]], [[13, 8], [13, 12]])
    assert grabcut.region(bookmark, shape, spacing) == expected


def test_region_begins_at_the_image():
    bookmark = Bookmark([[2, 3], [8, 3]], [[5, 2], [5, 5]])
    assert grabcut.region(bookmark, (40, 50)) == (0, 0, 12, 10)


def test_eight_bits_run_from_the_1st_to_the_99th_percentile():
    # 201 values: the 1st percentile is 2, the 99th 198.
    image = np.arange(201.0)[::-1].reshape(3, 67)
    expected = np.floor((np.arange(201.0) - 2) * 255 / 196 + 0.5).clip(0, 255)[::-1]
    found = grabcut.eight_bits(image)
    assert found.dtype == np.uint8 and (found == expected.reshape(3, 67)).all()
    assert (grabcut.eight_bits(np.full((4, 5), 7)) == 0).all()


def test_a_crop_of_one_label_is_not_cut():
    grey = np.random.default_rng(0).integers(0, 255, (6, 7)).astype(np.uint8)
    for label, foreground in ((0, 0), (1, 1), (2, 0), (3, 1)):
        cut = grabcut.cut(grey, np.full(grey.shape, label, np.uint8))
        assert (cut == foreground).all()


def test_the_component_that_holds_most_of_the_segments_is_kept_and_filled():
    """Part c meets part a at a corner only; the background holds more of the segments than any."""
    mask = picture("aa...bbbb", "aa...b..b", "..c..bbbb", "ccc......")
    segments = picture("s....ssss", "s...ss...", "s...s....", "s...s....")
    kept = grabcut.clean(mask.copy(), segments)
    assert (kept == picture(*3 * [".....bbbb"], ".........")).all()
    segments = picture("ss.....ss", "s..ss....", "s..ss....", "...ss....")
    kept = grabcut.clean(mask.copy(), segments)
    assert (kept == picture(*2 * ["aa......."], *2 * ["........."])).all()


def test_cleaning_of_masks_that_miss_the_segments_or_are_empty():
    mask, segments = picture("aa.", "...", "..."), picture("...", "...", "..s")
    assert not grabcut.clean(mask, segments).any()
    assert not grabcut.clean(np.zeros_like(mask), segments).any()


@pytest.mark.parametrize(
    ("width", "height", "refusal"),
    [
        (20, 10, ""),
        (14, 10, ""),  # 14 / 20 = 0.7
        (13, 10, "long axis off"),
        (28, 10, ""),  # 28 / 20 = 1.4
        (29, 10, "long axis off"),
        (20, 7, ""),
        (20, 6, "short axis off"),
        (20, 14, ""),
        (20, 15, "short axis off"),
    ],
)
@pytest.mark.parametrize("spacing", [(1, 1), (3, 3), (0.2, 0.2)])
def test_axes_may_be_0_7_to_1_4_of_the_bookmarks_in_whole_pixels(width, height, refusal, spacing):
    bookmark = Bookmark([[11, 15], [30, 15]], [[20, 11], [20, 20]])
    mask = plus((31, 41), (20, 15), width, height)
    assert grabcut._refusal(mask, bookmark, spacing) == grabcut._refusal(mask, bookmark) == refusal


def test_axes_are_compared_in_units_of_the_shorter_side_of_a_pixel():
    # 20 columns of 1 mm, 5 rows of 2 mm (8 mm from centre to centre); 9 rows are 16 mm.
    bookmark = Bookmark([[11, 15], [30, 15]], [[20, 13], [20, 17]])
    assert grabcut._refusal(plus((31, 41), (20, 15), 20, 5), bookmark, (1, 2)) == ""
    assert grabcut._refusal(plus((31, 41), (20, 15), 20, 7), bookmark, (1, 2)) == "short axis off"
    assert grabcut._refusal(plus((31, 41), (20, 15), 20, 7), bookmark) == ""


@pytest.mark.parametrize("edge", [(0, 8), (-1, 8), (5, 0), (5, -1)])
def test_masks_that_touch_the_border_are_refused(edge):
    bookmark = Bookmark([[4, 5], [12, 5]], [[8, 2], [8, 8]])
    mask = plus((11, 17), (8, 5), 9, 7)
    assert grabcut._refusal(mask, bookmark) == ""
    mask[edge] = 1
    assert grabcut._refusal(mask, bookmark) == "touches border"


def test_separation_by_hand():
    """Inside 90 and 110: mean 100, deviation 10. Ring of two pixels: 12 of 70, round them 20 of 30,
    mean 45, deviation 40 · √(12 · 20) / 32. What lies further out does not count.
    """
    grey = np.full((12, 12), 250, np.uint8)
    grey[3:9, 3:9] = 30
    grey[4:8, 4:8] = 70
    grey[5:7, 5:7] = [[90, 110], [110, 90]]
    mask = np.zeros((12, 12), np.uint8)
    mask[5:7, 5:7] = 1
    assert grabcut._separation(mask, grey) == pytest.approx(
        55 / np.hypot(10, 40 * np.sqrt(240) / 32)
    )
    assert grabcut._separation(mask, np.where(mask, 53, 50).astype(np.uint8)) == 3
    assert grabcut._separation(np.ones_like(mask), grey) == 0


def plain_average(mask, separation, bookmark, variant):
    """The average of both outlines, with distances pixel by pixel."""
    short = bookmark.short_length()
    ellipse = 1 / (0.3 + 0.08 * short) ** 2
    cut = 1 / ((1.5 / max(separation, 0.1)) ** 2 + 0.4**2)
    padded = np.pad(mask, 1)
    points = np.argwhere(np.ones_like(mask)) + 1.0
    to_background = cdist(points, np.argwhere(padded == 0)).min(axis=1)
    to_mask = cdist(points, np.argwhere(padded == 1)).min(axis=1)
    distance = np.where(mask.ravel() == 1, 0.5 - to_background, to_mask - 0.5)
    frame = shapes.Frame.of(bookmark, mask.shape)
    shape = frame.ellipse_distance()
    if variant == "bounded-lean":
        shape = frame.superellipse_distance(1.5)
    return (cut * distance.reshape(mask.shape) + ellipse * shape) / (cut + ellipse)


@pytest.mark.parametrize("variant", ["bounded", "bounded-lean"])
@pytest.mark.parametrize("noise", [0, 20, 60, 150])
@pytest.mark.parametrize("short", [3, 8, 14])
def test_average_of_two_outlines_equals_the_sum_pixel_by_pixel(noise, short, variant):
    rng = np.random.default_rng(short)
    bookmark = Bookmark([[8, 20], [30, 20]], [[19, 20 - short / 2], [19, 20 + short / 2]])
    blob = ndimage.gaussian_filter(rng.normal(0, 1, (40, 40)), 3)
    y, x = np.indices(blob.shape)
    mask = ((x - 19) ** 2 / 150 + (y - 20) ** 2 / (short**2) + 4 * blob < 1).astype(np.uint8)
    mask[:3, 15:20] = 1  # at the border of the crop
    grey = np.clip(90 + 40 * mask + rng.normal(0, noise, mask.shape), 0, 255).astype(np.uint8)
    frame = shapes.Frame.of(bookmark, mask.shape)
    found = grabcut._average(mask, grey, frame, bookmark.short_length(), variant)
    mean = plain_average(mask, grabcut._separation(mask, grey), bookmark, variant)
    sure = np.abs(mean) > 1e-3
    assert (found == (mean <= 0))[sure].all() and sure.mean() > 0.99


def test_a_bookmark_on_the_outer_edge_of_the_image_gives_the_ellipse():
    image = np.random.default_rng(0).normal(0, 1, (20, 30))
    edge = Bookmark([[5, -0.9], [15, -0.9]], [[10, -1.4], [10, -0.4]])
    made = grabcut.pseudo_mask(image, edge)
    assert made.source == "ellipse:empty" and made.mask[0, 10]


def test_masks_lie_in_memory_as_cocos_run_lengths_go():
    image = np.random.default_rng(0).normal(0, 1, (40, 50))
    bookmark = Bookmark([[10, 20], [30, 20]], [[20, 12], [20, 28]])
    made = grabcut.pseudo_mask(image.tolist(), bookmark, "paper", checked=False)
    assert made.source == "grabcut:paper" and made.mask.flags.f_contiguous
