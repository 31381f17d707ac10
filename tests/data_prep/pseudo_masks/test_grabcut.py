"""Pseudo masks: variants, checks, clean-up, fallback, determinism."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from data_prep.bookmarks import recist
from data_prep.bookmarks.recist import Bookmark
from data_prep.phantoms import abdomen
from data_prep.pseudo_masks import grabcut, mask_metrics, shapes


def lobed(shape, centre, radius, waves=3, depth=0.25):
    """A star-shaped blob."""
    y, x = np.indices(shape)
    angle = np.arctan2(y - centre[1], x - centre[0])
    return np.hypot(x - centre[0], y - centre[1]) <= radius * (1 + depth * np.cos(waves * angle))


@pytest.fixture
def lesion():
    """A lobed lesion in noise, and its bookmark: image, truth, bookmark."""
    truth = lobed((96, 100), (50, 47), 16)
    noise = np.random.default_rng(0).normal(0, 12, truth.shape)
    image = np.where(truth, 260.0, 120.0) + noise
    return ndimage.gaussian_filter(image, 0.6), truth, recist.measure(truth)


@pytest.mark.parametrize("variant", grabcut.VARIANTS)
def test_a_clear_lesion_is_outlined_better_than_by_shape_alone(lesion, variant):
    image, truth, bookmark = lesion
    made = grabcut.pseudo_mask(image, bookmark, variant)
    assert made.source == f"grabcut:{variant}"
    assert made.mask.dtype == bool and made.mask.shape == image.shape
    assert mask_metrics.dice(made.mask, truth) > 0.97
    assert mask_metrics.dice(shapes.ellipse_mask(bookmark, image.shape), truth) < 0.92


def test_bounded_does_not_leak_into_a_neighbour_of_the_same_intensity(lesion):
    image, truth, bookmark = lesion
    y, x = np.indices(truth.shape)
    image = np.where((np.hypot(x - 79, y - 47) < 12) & ~truth, 260.0, image)
    leaked = grabcut.pseudo_mask(image, bookmark, "paper", checked=False)
    bounded = grabcut.pseudo_mask(image, bookmark)
    assert leaked.source == "grabcut:paper"
    assert leaked.mask[47, 79] and not bounded.mask[47, 79]
    assert mask_metrics.dice(bounded.mask, truth) > 0.95
    checked = grabcut.pseudo_mask(image, bookmark, "paper")
    assert checked.source in ("ellipse:touches border", "ellipse:long axis off")
    assert (checked.mask == shapes.ellipse_mask(bookmark, image.shape)).all()


@pytest.mark.parametrize("variant", grabcut.VARIANTS)
@pytest.mark.parametrize("kind", ["int16", "uint16", "float32", "float64", "uint8"])
def test_the_mask_does_not_depend_on_type_offset_or_scale(lesion, variant, kind):
    image, _, bookmark = lesion
    image = np.round((image - image.min()) / np.ptp(image) * 255)
    expected = grabcut.pseudo_mask(image, bookmark, variant).mask
    converted = image.astype(kind)
    if kind != "uint8":
        converted = converted * converted.dtype.type(4)
    assert (grabcut.pseudo_mask(converted, bookmark, variant).mask == expected).all()


@pytest.mark.parametrize("variant", grabcut.VARIANTS)
def test_the_same_input_gives_the_same_mask_whatever_ran_before(lesion, variant):
    image, _, bookmark = lesion
    noisy = image + np.random.default_rng(1).normal(0, 60, image.shape)
    first = grabcut.pseudo_mask(noisy, bookmark, variant).mask
    for seed, threads in ((1, 1), (99, 2)):
        cv2.setRNGSeed(seed)
        cv2.setNumThreads(threads)
        cv2.kmeans(np.random.rand(50, 1).astype(np.float32), 3, None, (3, 5, 0.1), 2, 0)
        assert (grabcut.pseudo_mask(noisy, bookmark, variant).mask == first).all()
    cv2.setNumThreads(1)


def test_only_the_square_around_the_long_axis_matters(lesion):
    image, _, bookmark = lesion
    x1, y1, x2, y2 = grabcut.region(bookmark, image.shape)
    middle, length = bookmark.long_axis.mean(axis=0), bookmark.long_length()
    assert x2 - x1 == pytest.approx(2 * length, abs=1.5) == y2 - y1
    assert ((x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2) == pytest.approx(middle.tolist(), abs=1)
    changed = np.full_like(image, 1e4)
    changed[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    for variant in grabcut.VARIANTS:
        expected = grabcut.pseudo_mask(image, bookmark, variant).mask
        assert (grabcut.pseudo_mask(changed, bookmark, variant).mask == expected).all()
        cropped = Bookmark(bookmark.long_axis - (x1, y1), bookmark.short_axis - (x1, y1))
        inside = grabcut.pseudo_mask(image[y1:y2, x1:x2], cropped, variant).mask
        assert (inside == expected[y1:y2, x1:x2]).all()


@pytest.mark.parametrize("variant", grabcut.VARIANTS)
@pytest.mark.parametrize("shift", [(-45, 0), (44, 0), (0, -42), (-44, -41)])
def test_lesions_at_the_border_of_the_image(lesion, variant, shift):
    image, truth, bookmark = lesion
    dx, dy = shift
    rows, columns = slice(max(-dy, 0), 96 - max(dy, 0)), slice(max(-dx, 0), 100 - max(dx, 0))
    offset = np.array((columns.start, rows.start))
    moved = Bookmark(bookmark.long_axis - offset, bookmark.short_axis - offset)
    made = grabcut.pseudo_mask(image[rows, columns], moved, variant)
    assert made.mask.any()
    assert mask_metrics.dice(made.mask, truth[rows, columns]) > 0.8


def test_a_mask_is_one_piece_without_holes_that_holds_the_bookmark(lesion):
    image, _, bookmark = lesion
    rng = np.random.default_rng(5)
    for noise in (10, 40, 90, 200):
        noisy = image + rng.normal(0, noise, image.shape)
        for variant in grabcut.VARIANTS:
            mask = grabcut.pseudo_mask(noisy, bookmark, variant).mask
            assert ndimage.label(mask)[1] == 1
            assert (ndimage.binary_fill_holes(mask) == mask).all()
            drawn = np.zeros(mask.shape, np.uint8)
            shapes.draw_segments(drawn, bookmark, 1)
            assert mask[drawn > 0].mean() > 0.9


def test_without_contrast_the_mask_keeps_near_the_ellipse():
    image = np.random.default_rng(3).normal(100, 20, (60, 60))
    bookmark = Bookmark([[18, 30], [42, 30]], [[30, 22], [30, 38]])
    ellipse = shapes.ellipse_mask(bookmark, image.shape)
    assert mask_metrics.dice(grabcut.pseudo_mask(image, bookmark).mask, ellipse) > 0.9
    constant = grabcut.pseudo_mask(np.full((60, 60), 7), bookmark)
    assert mask_metrics.dice(constant.mask, ellipse) > 0.9


def test_masks_that_miss_the_bookmark_are_refused():
    bookmark = Bookmark([[10, 20], [40, 20]], [[25, 8], [25, 32]])
    drawn = np.zeros((50, 60), np.uint8)
    shapes.draw_segments(drawn, bookmark, 1)
    assert grabcut._refusal(drawn, bookmark) == ""
    assert grabcut._refusal(np.zeros_like(drawn), bookmark) == "empty"
    long = drawn.copy()
    long[20, 5:56] = 1
    assert grabcut._refusal(long, bookmark) == "long axis off"
    thin = drawn.copy()
    thin[:18] = 0
    thin[22:] = 0
    assert grabcut._refusal(thin, bookmark) == "short axis off"
    drawn[:21, 25] = 1
    assert grabcut._refusal(drawn, bookmark) == "touches border"


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90])
@pytest.mark.parametrize("spacing", [(4.0, 1.0), (0.8, 3.2)])
def test_pixels_that_are_no_squares(degrees, spacing):
    """Axial slices of a sagittal or coronal scan: what is longest in mm is not so in pixels."""
    y, x = np.mgrid[: round(120 / spacing[1]), : round(120 / spacing[0])] * 1.0
    x, y = x * spacing[0] - 60, y * spacing[1] - 60
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    truth = ((x * cos + y * sin) / 20) ** 2 + ((y * cos - x * sin) / 14) ** 2 <= 1
    image = np.random.default_rng(degrees).normal(100, 10, truth.shape) + 40 * truth
    bookmark = recist.measure(truth, spacing)
    made = grabcut.pseudo_mask(image, bookmark, spacing_xy=spacing)
    assert made.source == "grabcut:bounded-lean"
    assert mask_metrics.dice(made.mask, truth) > 0.95
    assert mask_metrics.dice(shapes.ellipse_mask(bookmark, truth.shape), truth) > 0.85


def test_small_lesions():
    image = np.random.default_rng(0).normal(50, 5, (20, 20))
    image[9:12, 9:12] += 100
    bookmark = Bookmark([[9, 9], [11, 11]], [[11, 9], [9, 11]])
    for variant in grabcut.VARIANTS:
        mask = grabcut.pseudo_mask(image, bookmark, variant).mask
        assert 5 <= mask.sum() <= 13 and mask[10, 10]
    point = Bookmark([[9, 9], [9, 9]], [[9, 9], [9, 9]])
    assert grabcut.pseudo_mask(image, point).mask.sum() == 1


def test_what_cannot_be_segmented_is_refused(lesion):
    image, _, bookmark = lesion
    with pytest.raises(
        ValueError, match="Expected a variant of bounded-lean, bounded, paper but got 'x'"
    ):
        grabcut.pseudo_mask(image, bookmark, "x")
    with pytest.raises(ValueError, match="Expected at least 1 iteration of GrabCut but got 0"):
        grabcut.pseudo_mask(image, bookmark, iterations=0)
    assert grabcut.pseudo_mask(image, bookmark, iterations=1).mask.any()
    with pytest.raises(
        ValueError, match=r"Expected an image of shape \(H, W\) but got \(96, 100, 1"
    ):
        grabcut.pseudo_mask(image[:, :, None], bookmark)
    away = Bookmark(bookmark.long_axis + 500, bookmark.short_axis + 500)
    with pytest.raises(ValueError, match="inside the image of 100 x 96 pixels but got the end poi"):
        grabcut.pseudo_mask(image, away)


@given(seed=st.integers(0, 2**32 - 1), inside=st.booleans())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_whatever_the_bookmark_there_is_a_mask_or_a_plain_error(seed, inside):
    """Tiny images, constant ones, bookmarks that lean, shrink to a point or leave the image."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    image = rng.integers(0, rng.choice((1, 2, 3000)), (height, width)).astype(np.int16)
    low, high = (0.0, 1.0) if inside else (-0.5, 1.5)
    points = rng.uniform(low, high, (4, 2)) * (width - 1, height - 1)
    bookmark = Bookmark(points[:2], points[2:])
    for variant in grabcut.VARIANTS:
        try:
            mask = grabcut.pseudo_mask(image, bookmark, variant).mask
        except ValueError as error:
            assert "Expected a bookmark inside the image" in str(error)
        else:
            assert mask.shape == image.shape and mask.any()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_every_bookmark_on_the_image_has_a_mask(seed):
    """Down to a hundredth of a pixel, and up to the outer edge of the outermost pixels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 3000, (24, 20)).astype(np.int16)
    size = np.exp(rng.uniform(np.log(0.01), np.log(30)))
    middle = rng.choice((-0.5, 7.5, 19.5, rng.uniform(0, 19)), 2) + rng.uniform(-size, size, 2)
    points = middle + rng.uniform(-size, size, (4, 2))
    points = np.clip(points, -0.5, (19.5, 23.5))
    for variant in grabcut.VARIANTS:
        mask = grabcut.pseudo_mask(image, Bookmark(points[:2], points[2:]), variant).mask
        assert mask.any()


def test_bounded_is_no_worse_than_any_other_rule_on_cluttered_phantoms():
    scores = {name: [] for name in (*grabcut.VARIANTS, "quadrilateral", "ellipse")}
    for seed in range(3):
        volume = abdomen.make_phantom(seed, shape=(10, 128, 128), n_nodes=6, n_lookalikes=12)
        for label, z, bookmark in abdomen.bookmarks(volume):
            truth, image = volume.labels[z] == label, volume.image[z]
            masks = {
                variant: grabcut.pseudo_mask(image, bookmark, variant).mask
                for variant in grabcut.VARIANTS
            }
            masks["quadrilateral"] = shapes.quadrilateral_mask(bookmark, truth.shape)
            masks["ellipse"] = shapes.ellipse_mask(bookmark, truth.shape)
            for name, mask in masks.items():
                scores[name].append(mask_metrics.dice(mask, truth))
    means = {name: np.mean(values) for name, values in scores.items()}
    assert len(scores["bounded"]) >= 12
    for name in ("bounded", "bounded-lean"):
        assert means[name] > 0.95
        assert means[name] >= max(means.values()) - 0.01


def plain_paper(image, bookmark, iterations=5, fill=True):
    """The paper's GrabCut on a whole image, as plainly as it can be written."""
    labels = np.full(image.shape, cv2.GC_PR_BGD, np.uint8)
    labels[shapes.quadrilateral_mask(bookmark, image.shape)] = cv2.GC_PR_FGD
    for start, end in (bookmark.long_axis, bookmark.short_axis):
        cv2.line(labels, tuple(map(round, start)), tuple(map(round, end)), cv2.GC_FGD)
    low, high = np.sort(image, axis=None)[np.array((1, 99)) * (image.size - 1) // 100]
    grey = np.clip(np.floor((image - low) * 255.0 / (high - low) + 0.5), 0, 255).astype(np.uint8)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.dstack([grey] * 3), labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    parts, _ = ndimage.label((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    found = parts == parts[tuple(bookmark.long_axis[0].astype(int)[::-1])]
    return ndimage.binary_fill_holes(found) if fill else found


def test_paper_equals_a_plain_grabcut_of_five_iterations():
    """Faint lesions in noise; the bookmark ends on whole pixels, the image is the crop."""
    bookmark = Bookmark([[16, 32], [48, 32]], [[32, 20], [32, 44]])
    once = 0
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(0, 25, (65, 65))
        image = 100 + 60 * lobed(noise.shape, (32, 32), 13, depth=0.2) + noise
        image = ndimage.gaussian_filter(image, 0.8).round()
        mask = grabcut.pseudo_mask(image, bookmark, "paper", checked=False).mask
        assert (mask == plain_paper(image, bookmark)).all()
        once += (mask != plain_paper(image, bookmark, iterations=1)).any()
    assert once >= 6


def test_holes_of_the_papers_mask_are_filled():
    bookmark = Bookmark([[12, 32], [52, 32]], [[32, 16], [32, 48]])
    image = np.where(lobed((81, 65), (32, 32), 18, depth=0.1), 220.0, 100.0)
    image[22:27, 38:43] = 100  # necrosis, away from the axes
    image += np.random.default_rng(0).normal(0, 4, image.shape)
    image = image[:73]
    mask = grabcut.pseudo_mask(image, bookmark, "paper").mask
    assert (mask == plain_paper(image, bookmark)).all()
    assert mask[22:27, 38:43].all()
    assert not plain_paper(image, bookmark, fill=False)[23:26, 39:42].any()


def test_quadrilateral_is_only_probable():
    """A dark bay inside the quadrilateral does not belong to the paper's mask."""
    bookmark = Bookmark([[20, 47], [80, 47]], [[50, 27], [50, 67]])
    y, x = np.indices((96, 100))
    image = np.where(np.hypot((x - 50) / 30, (y - 47) / 20) <= 1, 260.0, 120.0)
    image[49:90, 52:90] = 120
    image += np.random.default_rng(0).normal(0, 8, image.shape)
    mask = grabcut.pseudo_mask(image, bookmark, "paper", checked=False).mask
    assert shapes.quadrilateral_mask(bookmark, image.shape)[52:56, 54:59].all()
    assert not mask[52:56, 54:59].any() and mask[40:46, 40:60].all()
