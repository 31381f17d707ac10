"""Bookmarks and their measurement on masks."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from data_prep.bookmarks import recist
from data_prep.bookmarks.recist import Bookmark, measure_points

PLUS = Bookmark([[2.0, 5.0], [12.0, 5.0]], [[6.0, 2.0], [6.0, 8.0]])


def digital_ellipse(shape, centre, half_long, half_short, angle):
    """Pixels whose centre lies in the ellipse; `angle` of the long axis in rad."""
    y, x = np.indices(shape)
    x, y = x - centre[0], y - centre[1]
    u = x * np.cos(angle) + y * np.sin(angle)
    v = y * np.cos(angle) - x * np.sin(angle)
    return (u / half_long) ** 2 + (v / half_short) ** 2 <= 1


def test_a_bookmark_gives_its_box_and_lengths():
    assert PLUS.box() == (2.0, 2.0, 12.0, 8.0)
    assert PLUS.coco_box() == (2.0, 2.0, 11.0, 7.0)
    assert PLUS.long_length() == 10.0
    assert PLUS.short_length((1.0, 0.5)) == 3.0
    assert PLUS.long_length((0.7, 0.5)) == pytest.approx(7.0)


def test_bookmarks_are_values():
    same = Bookmark(PLUS.long_axis.copy(), PLUS.short_axis.copy())
    assert same == PLUS and hash(same) == hash(PLUS)
    assert Bookmark(PLUS.short_axis, PLUS.long_axis) != PLUS
    assert PLUS != "a bookmark"
    with pytest.raises(ValueError, match="read-only"):
        PLUS.long_axis[0, 0] = 1.0


def test_a_bookmark_does_not_follow_the_array_it_was_made_of():
    points = np.array([[0.0, 0.0], [4.0, 0.0]])
    bookmark = Bookmark(points, [[2.0, -1.0], [2.0, 1.0]])
    points[0] = 9.0
    assert bookmark.long_axis.tolist() == [[0, 0], [4, 0]]


@pytest.mark.parametrize(
    ("long_axis", "message"),
    [
        ([[0, 0, 0], [1, 1, 1]], r"Expected long_axis of shape \(2, 2\) but got \(2, 3\)"),
        ([[0, 0], [np.nan, 1]], "Expected finite coordinates in long_axis"),
    ],
)
def test_malformed_axes_are_refused(long_axis, message):
    with pytest.raises(ValueError, match=message):
        Bookmark(long_axis, [[0, 0], [1, 1]])


def test_a_rectangle_is_measured_by_hand():
    """3 × 4 pixels: diagonal 3-4-5 less one pixel each way; the chord through the corner below it.

    Long axis (0, 0)-(3, 2), direction (3, 2)/√13. The chord perpendicular to it through (3, 0)
    meets the long axis' line and leaves the rectangle through the bottom edge y = 2 at
    x = 3 - 2 · 2/3 = 5/3.
    """
    mask = np.ones((3, 4), bool)
    found = recist.measure(mask)
    assert found.long_axis.tolist() == [[0, 0], [3, 2]]
    ends = found.short_axis[np.argsort(found.short_axis[:, 1])]
    # By symmetry the chord through (0, 2) is as long; the one nearer to the first end counts.
    np.testing.assert_allclose(ends, [[4 / 3, 0.0], [0.0, 2.0]], atol=1e-9)


def test_small_masks():
    one = np.zeros((4, 4), bool)
    one[2, 1] = True
    assert recist.measure(one).points().tolist() == [[1, 2]] * 4
    line = np.zeros((4, 6), bool)
    line[1, 1:5] = True
    found = recist.measure(line)
    assert found.long_axis.tolist() == [[1, 1], [4, 1]]
    assert found.short_length() == 0.0


@pytest.mark.parametrize("mask", [np.zeros((5, 5)), np.ones((2, 2, 2))])
def test_masks_that_cannot_be_measured_are_refused(mask):
    with pytest.raises(ValueError, match="Expected a mask"):
        recist.measure(mask)


@pytest.mark.parametrize("half_long", [4.0, 9.5, 21.3, 60.0])
@pytest.mark.parametrize("ratio", [0.4, 0.75, 0.97])
@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 133])
def test_digital_ellipses_are_measured_to_one_pixel(half_long, ratio, degrees):
    mask = digital_ellipse(
        (140, 150), (74.3, 69.6), half_long, ratio * half_long, np.radians(degrees)
    )
    found = recist.measure(mask)
    # From centre to centre a length is never too long by a pixel; whole pixels counted (+ 1), it is
    # never too short by one.
    for found_px, true_px in (
        (found.long_length(), 2 * half_long),
        (found.short_length(), 2 * ratio * half_long),
    ):
        assert found_px < true_px + 1
        assert found_px + 1 > true_px - 1
    assert found.long_length() <= 2 * half_long


@pytest.mark.parametrize("seed", range(12))
def test_measurement_equals_the_definition_by_brute_force(seed):
    rng = np.random.default_rng(seed)
    blobs = [
        digital_ellipse((40, 44), rng.uniform(12, 28, 2), rng.uniform(3, 11), rng.uniform(2, 6), a)
        for a in rng.uniform(0, np.pi, 3)
    ]
    mask = np.logical_or.reduce(blobs)
    spacing = (1.0, 1.0) if seed % 2 else (0.8, 1.3)
    found = recist.measure(mask, spacing)
    points = np.argwhere(mask)[:, ::-1] * np.array(spacing)
    distances = cdist(points, points)
    assert found.long_length(spacing) == pytest.approx(distances.max(), abs=1e-9)
    # Chords of the hull, by cutting it with many lines: never longer than the one found.
    along = np.diff(found.long_axis * spacing, axis=0)[0]
    along /= np.hypot(*along)
    across = np.array((-along[1], along[0]))
    short = np.diff(found.short_axis * spacing, axis=0)[0]
    assert abs(short @ along) < 1e-9
    longest = _longest_chord_by_triangles(points @ along, points @ across)
    assert found.short_length(spacing) == pytest.approx(longest, abs=1e-6)


def _longest_chord_by_triangles(t, h):
    """Longest vertical extent of the hull of (t, h): for each vertex, against every edge's line."""
    order = np.argsort(t)
    t, h = t[order], h[order]
    best = 0.0
    for at in np.unique(np.round(t, 9)):
        left, right = t <= at + 1e-9, t >= at - 1e-9
        gap = t[right][None] - t[left][:, None]
        weight = np.divide(at - t[left][:, None], gap, out=np.zeros_like(gap), where=gap > 1e-9)
        heights = h[left][:, None] * (1 - weight) + h[right][None] * weight
        best = max(best, heights.max() - heights.min())
    return best


@pytest.mark.parametrize("seed", range(20))
def test_the_axes_cross_at_a_right_angle(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((30, 30)) < 0.02
    mask |= digital_ellipse((30, 30), (15, 15), 6, 3, rng.uniform(0, np.pi))
    found = recist.measure(mask)
    along, across = np.diff(found.long_axis, axis=0)[0], np.diff(found.short_axis, axis=0)[0]
    assert abs(along @ across) < 1e-6
    s, t = np.linalg.solve(np.stack((along, -across), 1), found.short_axis[0] - found.long_axis[0])
    assert -1e-9 <= s <= 1 + 1e-9 and -1e-9 <= t <= 1 + 1e-9


def test_anisotropic_pixels_are_measured_in_mm():
    mask = np.ones((5, 9), bool)  # 8 × 1 mm by 4 × 3 mm from centre to centre
    found = recist.measure(mask, (1.0, 3.0))
    assert found.long_length((1.0, 3.0)) == pytest.approx(np.hypot(8, 12))
    in_mm = np.diff(found.points() * (1.0, 3.0), axis=0)[[0, 2]]
    assert abs(in_mm[0] @ in_mm[1]) < 1e-9


def test_a_measured_bookmark_spans_the_mask_it_was_measured_on():
    """Box of an axis-parallel shape: COCO box of the bookmark = COCO box of the mask."""
    mask = np.zeros((20, 30), bool)
    mask[4:11, 5:22] = digital_ellipse((7, 17), (8, 3), 8, 3, 0.0)
    assert recist.measure(mask).coco_box() == (5.0, 4.0, 17.0, 7.0)


def test_whole_numbers_become_floats_and_other_types_may_compare_themselves():
    bookmark = Bookmark([[2, 5], [12, 5]], [[6, 2], [6, 8]])
    assert bookmark.long_axis.dtype == bookmark.short_axis.dtype == np.float64
    assert bookmark == PLUS and bookmark == mock.ANY


def test_a_mask_may_be_a_list_of_any_numbers():
    found = recist.measure([[0, 0, 0, 0], [0, -3, 0.5, 9]])
    assert found.long_axis.tolist() == [[1, 1], [3, 1]]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("height", [1.0, 0.5])
def test_flat_masks_have_their_whole_short_axis(flip, height):
    """A row of eleven pixels with one of three above or below it, `height` mm away."""
    mask = np.zeros((2, 11), bool)
    mask[0] = True
    mask[1, 3:6] = True
    found = recist.measure(mask[::-1] if flip else mask, (1.0, height))
    assert found.long_length((1.0, height)) == 10.0
    assert found.short_length((1.0, height)) == pytest.approx(height)
    assert found.short_axis[:, 0].tolist() == [3, 3]  # of equal chords the first


def test_points_between_pixels_are_measured():
    diamond = np.array([[0.5, 3.0], [6.5, 3.0], [3.0, 1.5], [3.0, 5.0], [3.0, 3.0]])
    bookmark = measure_points(diamond)
    assert bookmark.long_axis.tolist() == [[0.5, 3.0], [6.5, 3.0]]
    assert bookmark.short_axis.tolist() == [[3.0, 1.5], [3.0, 5.0]]
    # With twice as much along y, the axes change places.
    tall = measure_points(diamond, (1.0, 2.0))
    assert tall.long_axis.tolist() == [[3.0, 1.5], [3.0, 5.0]]
    # Unless told otherwise, a pixel is as wide as it is high.
    assert measure_points(diamond[:, ::-1] * (1.0, 0.9)).long_axis[:, 0].tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="at least one point but got none"):
        measure_points(np.zeros((0, 2)))
