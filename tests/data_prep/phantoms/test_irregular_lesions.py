"""Irregular lesions in clutter, and pseudo masks on them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from data_prep.bookmarks import recist
from data_prep.phantoms import irregular_lesions
from data_prep.pseudo_masks import mask_metrics
from data_prep.pseudo_masks.methods import pseudo_mask


def test_images_are_seeded_and_hold_one_lesion():
    for seed in range(6):
        image, lesion = irregular_lesions.make_image(seed)
        again, _ = irregular_lesions.make_image(seed)
        assert (image == again).all() and image.dtype == np.int16
        assert image.shape == lesion.shape == (160, 160)
        assert ndimage.label(lesion)[1] == 1 and lesion.sum() > 20
        assert not (lesion[0] | lesion[-1] | lesion[:, 0] | lesion[:, -1]).any()
    assert (irregular_lesions.make_image(0)[0] != irregular_lesions.make_image(1)[0]).any()


def test_look_alikes_cannot_be_told_by_their_intensity():
    """Pixels outside as bright as the lesion are at least as many as half of its own."""
    found = []
    for seed in range(10):
        image, lesion = irregular_lesions.make_image(seed)
        low, high = np.percentile(image[lesion], (10, 90))
        found.append(((image >= low) & (image <= high) & ~lesion).sum() / lesion.sum())
    assert np.median(found) > 0.5


@pytest.mark.parametrize(("contrast", "gain"), [((60.0, 250.0), 0.04), ((25.0, 60.0), 0.01)])
def test_bounded_follows_the_image_where_ellipses_do_not_fit(contrast, gain):
    names = ("bounded-lean", "bounded", "paper", "quadrilateral", "ellipse")
    scores = {name: [] for name in names}
    for seed in range(24):
        image, lesion = irregular_lesions.make_image((99, seed), contrast)
        bookmark = recist.measure(lesion)
        for name in names:
            mask = pseudo_mask(image, bookmark, name).mask
            scores[name].append(mask_metrics.dice(mask, lesion))
    means = {name: np.mean(values) for name, values in scores.items()}
    for name in ("bounded-lean", "bounded"):
        assert means[name] > means["ellipse"] + gain
        assert means[name] >= max(means.values()) - 0.01
