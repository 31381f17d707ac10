"""Masks drawn from a bookmark alone."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.bookmarks import recist
from data_prep.bookmarks.recist import Bookmark
from data_prep.pseudo_masks import shapes
from data_prep.pseudo_masks.shapes import Frame

PLUS = Bookmark([[2, 5], [12, 5]], [[7, 2], [7, 8]])
# The axes cross at (6, 5): unequal quarters.
KITE = Bookmark([[2, 5], [18, 5]], [[6, 3], [6, 11]])


def rows(mask):
    return ["".join(".#"[int(v)] for v in row) for row in mask]


def test_the_box_holds_its_end_points():
    mask = shapes.recist_box_mask(PLUS, (11, 15))
    assert mask.sum() == 11 * 7
    assert mask[2:9, 2:13].all()
    x, y, width, height = PLUS.coco_box()
    assert (x, y, width, height) == (2, 2, 11, 7)


def test_the_box_of_points_between_pixels_takes_the_pixels_they_lie_in():
    bookmark = Bookmark([[1.6, 2], [5.4, 2]], [[3, 1.4], [3, 3.6]])
    mask = shapes.recist_box_mask(bookmark, (6, 8))
    assert rows(mask)[1:5] == ["..####..", "..####..", "..####..", "..####.."]
    assert mask.sum() == 16


def test_a_quadrilateral_by_hand():
    bookmark = Bookmark([[0, 2], [4, 2]], [[2, 0], [2, 4]])
    assert rows(shapes.quadrilateral_mask(bookmark, (5, 5))) == [
        "..#..",
        ".###.",
        "#####",
        ".###.",
        "..#..",
    ]


def test_an_ellipse_with_halved_axes_is_the_plain_ellipse():
    y, x = np.indices((11, 15))
    # Half a pixel more than from the centre to the end points.
    expected = ((x - 7) / 5.5) ** 2 + ((y - 5) / 3.5) ** 2 <= 1
    assert (shapes.ellipse_mask(PLUS, (11, 15)) == expected).all()


def test_each_quarter_of_the_ellipse_has_its_own_half_axes():
    mask = shapes.ellipse_mask(KITE, (14, 22))
    y, x = np.indices(mask.shape)
    half_x = np.where(x < 6, 4.5, 12.5)
    half_y = np.where(y < 5, 2.5, 6.5)
    assert (mask == (((x - 6) / half_x) ** 2 + ((y - 5) / half_y) ** 2 <= 1)).all()


@pytest.mark.parametrize("degrees", [0, 20, 45, 77, 130])
@pytest.mark.parametrize("tilt", [0, 12])
def test_shapes_pass_through_all_four_end_points(degrees, tilt):
    turn, lean = np.radians(degrees), np.radians(tilt)
    along = np.array((np.cos(turn), np.sin(turn)))
    across = np.array((-np.sin(turn + lean), np.cos(turn + lean)))
    centre = np.array((30.2, 28.7))
    bookmark = Bookmark(
        [centre - 9 * along, centre + 14 * along], [centre - 8 * across, centre + 5 * across]
    )
    np.testing.assert_allclose(shapes.crossing(bookmark), centre, atol=1e-9)
    for point in bookmark.points():
        # One pixel at the end point itself, in a frame that starts there.
        frame = Frame.of(bookmark, (1, 1), point)
        reach = np.hypot(*(point - centre))
        assert frame.ellipse()[0, 0] == pytest.approx(reach / (reach + 0.5), abs=1e-5)
        assert frame.diamond()[0, 0] == pytest.approx(reach / (reach + 0.5), abs=1e-5)
        assert frame.ellipse_distance()[0, 0] == pytest.approx(-0.5, abs=1e-4)
        assert frame.beyond_ends()[0, 0] == pytest.approx(-0.5, abs=1e-4)
        x, y = np.round(point).astype(int)
        near = (slice(y - 1, y + 2), slice(x - 1, x + 2))
        for draw in (shapes.ellipse_mask, shapes.quadrilateral_mask):
            mask = draw(bookmark, (64, 64))
            assert mask[near].any() and not mask[near].all()


def test_distance_to_a_circle_is_exact():
    circle = Bookmark([[10, 20], [30, 20]], [[20, 10], [20, 30]])
    y, x = np.indices((41, 41))
    exact = np.hypot(x - 20, y - 20) - 10.5
    got = Frame.of(circle, (41, 41)).ellipse_distance()
    got[20, 20] = -10.5  # the slope has no direction there
    np.testing.assert_allclose(got, exact, atol=1e-3)


def test_distance_to_a_superellipse():
    """With exponent 1 it is the distance to the lines of the quadrilateral, with 2 the ellipse."""
    frame = Frame.of(Bookmark([[10, 20], [30, 20]], [[20, 14], [20, 26]]), (41, 41))
    slope = np.hypot(1 / 10.5, 1 / 6.5)
    y, x = np.abs(np.indices((41, 41)) - 20)
    lines = (x / 10.5 + y / 6.5 - 1) / slope
    got = frame.superellipse_distance(1.0)
    np.testing.assert_allclose(got, lines, atol=1e-4)
    inside = frame.superellipse_distance(1.5) <= 0
    assert (inside == ((x / 10.5) ** 1.5 + (y / 6.5) ** 1.5 <= 1)).all()
    assert (lines <= 0).sum() < inside.sum() < (frame.ellipse() <= 1).sum()
    got, ellipse = frame.superellipse_distance(2.0), frame.ellipse_distance()
    got[20, 20] = ellipse[20, 20]  # the slope has no direction there
    np.testing.assert_allclose(got, ellipse, atol=1e-3)
    assert np.isfinite(frame.superellipse_distance(1.5)).all()


@pytest.mark.parametrize("seed", range(8))
def test_shapes_nest_and_agree_with_the_mask_they_were_measured_on(seed):
    rng = np.random.default_rng(seed)
    y, x = np.indices((60, 60))
    angle, long, short = rng.uniform(0, np.pi), rng.uniform(8, 20), rng.uniform(5, 8)
    u = (x - 30) * np.cos(angle) + (y - 30) * np.sin(angle)
    v = (y - 30) * np.cos(angle) - (x - 30) * np.sin(angle)
    truth = (u / long) ** 2 + (v / short) ** 2 <= 1
    bookmark = recist.measure(truth)
    ellipse = shapes.ellipse_mask(bookmark, truth.shape)
    quadrilateral = shapes.quadrilateral_mask(bookmark, truth.shape)
    assert 2 * (ellipse & truth).sum() / (ellipse.sum() + truth.sum()) > 0.94
    assert not (quadrilateral & ~ellipse).any()
    assert 0.6 < quadrilateral.sum() / ellipse.sum() < 0.85


@pytest.mark.parametrize(
    "draw", [shapes.ellipse_mask, shapes.quadrilateral_mask, shapes.recist_box_mask]
)
@pytest.mark.parametrize(("dx", "dy"), [(-9, 0), (8, 0), (0, -6), (0, 7), (40, 40), (-40, 0)])
def test_parts_outside_are_cut_off(draw, dx, dy):
    whole = draw(PLUS, (11, 15))
    moved = draw(Bookmark(PLUS.long_axis + (dx, dy), PLUS.short_axis + (dx, dy)), (11, 15))
    expected = np.zeros_like(whole)
    for y, x in np.argwhere(whole) + (dy, dx):
        if 0 <= y < 11 and 0 <= x < 15:
            expected[y, x] = True
    assert (moved == expected).all()


def test_bookmarks_without_area_still_cover_their_pixels():
    point = Bookmark([[3, 3], [3, 3]], [[3, 3], [3, 3]])
    line = Bookmark([[1, 3], [6, 3]], [[2, 3], [2, 3]])
    for bookmark, pixels in ((point, 1), (line, 6)):
        for draw in (shapes.ellipse_mask, shapes.quadrilateral_mask, shapes.recist_box_mask):
            assert draw(bookmark, (8, 9)).sum() == pixels


@pytest.mark.parametrize("draw", [shapes.ellipse_mask, shapes.quadrilateral_mask])
@pytest.mark.parametrize(
    ("centre", "pixel"),
    [((2.5, 4.45), (4, 3)), ((-0.5, -0.5), (0, 0)), ((8.5, 7.5), (7, 8)), ((9.2, 3), None)],
)
def test_shapes_smaller_than_a_pixel_are_the_pixel_they_lie_in(draw, centre, pixel):
    axes = np.array(([-0.1, 0], [0.1, 0])), np.array(([0, -0.05], [0, 0.05]))
    mask = draw(Bookmark(*(axis + centre for axis in axes)), (8, 9))
    assert [tuple(p) for p in np.argwhere(mask).tolist()] == ([pixel] if pixel else [])


def test_parallel_axes_cross_at_the_middle_of_the_long_one():
    bookmark = Bookmark([[0, 0], [10, 0]], [[2, 1], [8, 1]])
    assert shapes.crossing(bookmark).tolist() == [5.0, 0.0]


def test_segments_can_be_trimmed():
    canvas = np.zeros((11, 15), np.uint8)
    shapes.draw_segments(canvas, PLUS, 1)
    assert canvas.sum() == 11 + 7 - 1
    canvas[:] = 0
    shapes.draw_segments(canvas, PLUS, 3, trim_px=2.0)
    assert canvas[5].tolist() == [0] * 4 + [3] * 7 + [0] * 4
    canvas[:] = 0
    shapes.draw_segments(canvas, PLUS, 1, trim_px=99.0)
    assert canvas.sum() == 1 and canvas[5, 7] == 1
