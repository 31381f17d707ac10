"""The one table of methods."""

import numpy as np
import pytest
from scipy import ndimage

from data_prep.bookmarks.recist import Bookmark
from data_prep.dataset.prepare_args import parse_args
from data_prep.pseudo_masks import grabcut, shapes
from data_prep.pseudo_masks.methods import MASK_METHODS, METHODS, pseudo_mask

BOOKMARK = Bookmark([(12, 25), (36, 25)], [(24, 20), (24, 30)])


def image():
    y, x = np.mgrid[:50, :50]
    clear = np.hypot((x - 24) / 12.5, (y - 25) / 5.5) <= 1
    return clear * 200.0 + np.random.default_rng(3).normal(0, 25, clear.shape)


def test_each_method_is_what_its_name_says():
    picture = image()
    expected = {
        "bounded-lean": grabcut.pseudo_mask(picture, BOOKMARK, "bounded-lean").mask,
        "bounded": grabcut.pseudo_mask(picture, BOOKMARK, "bounded").mask,
        "paper": grabcut.pseudo_mask(picture, BOOKMARK, "paper", checked=False, iterations=1).mask,
        "paper-checked": grabcut.pseudo_mask(picture, BOOKMARK, "paper").mask,
        "quadrilateral": shapes.quadrilateral_mask(BOOKMARK, (50, 50)),
        "ellipse": shapes.ellipse_mask(BOOKMARK, (50, 50)),
        "box": shapes.recist_box_mask(BOOKMARK, (50, 50)),
    }
    assert list(expected) == list(METHODS)
    for name, mask in expected.items():
        assert (pseudo_mask(picture, BOOKMARK, name).mask == mask).all(), name
    assert (pseudo_mask(picture, BOOKMARK).mask == expected["bounded-lean"]).all()
    assert pseudo_mask(picture, BOOKMARK, "box").source == "box"


def test_the_spacing_reaches_grabcut():
    """On pixels of 4 mm x 1 mm the axis that is longer in mm sets the square."""
    bookmark = Bookmark([(20, 25), (28, 25)], [(24, 18), (24, 32)])
    picture = image().T
    spacing = (4.0, 1.0)
    made = pseudo_mask(picture, bookmark, "paper", spacing_xy=spacing)
    given = {"checked": False, "iterations": 1}
    wanted = grabcut.pseudo_mask(picture, bookmark, "paper", **given, spacing_xy=spacing)
    plain = grabcut.pseudo_mask(picture, bookmark, "paper", **given)
    assert (made.mask == wanted.mask).all() and (made.mask != plain.mask).any()


def test_prepare_offers_the_methods_for_training():
    assert MASK_METHODS == (
        "bounded-lean",
        "bounded",
        "paper",
        "paper-checked",
        "quadrilateral",
        "ellipse",
    )
    needed = ["--images", "i", "--bookmarks", "b", "--out-dir", "o"]
    assert parse_args(needed).mask_method == "bounded-lean"
    for name in METHODS:
        if name in MASK_METHODS:
            assert parse_args([*needed, "--mask-method", name]).mask_method == name
        else:
            with pytest.raises(SystemExit):
                parse_args([*needed, "--mask-method", name])


def test_wrong_arguments():
    with pytest.raises(
        ValueError, match=r"Expected a method of bounded-lean, bounded, .* but got 'x'"
    ):
        pseudo_mask(image(), BOOKMARK, "x")
    for name in METHODS:
        with pytest.raises(ValueError, match=r"shape \(H, W\) but got \(50, 50, 1\)"):
            pseudo_mask(image()[..., None], BOOKMARK, name)


def test_iterations_are_of_grabcut_only():
    noise = np.random.default_rng(0).normal(0, 60, (50, 50))
    faint = ndimage.gaussian_filter(0.3 * image() + noise, 0.8)
    once = pseudo_mask(faint, BOOKMARK, "paper", iterations=1).mask
    assert (
        once == grabcut.pseudo_mask(faint, BOOKMARK, "paper", checked=False, iterations=1).mask
    ).all()
    assert (once != pseudo_mask(faint, BOOKMARK, "paper", iterations=10).mask).any()
    with pytest.raises(ValueError, match="Expected no iterations for ellipse, a shape, but got 3"):
        pseudo_mask(faint, BOOKMARK, "ellipse", iterations=3)
    with pytest.raises(ValueError, match="Expected at least 1 iteration of GrabCut but got 0"):
        pseudo_mask(faint, BOOKMARK, "bounded", iterations=0)
