"""Augmentations: boxes follow masks, lost lesions go with all their rows, numbers repeat."""

import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmglan.datasets.augmentations import RandomIntensity, RandomLesionAffine


def sample(boxes=((20, 24, 40, 36), (50, 50, 56, 60)), size=64):
    masks = np.zeros((len(boxes), size, size), np.uint8)
    img = np.zeros((size, size, 3), np.float32)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
        img[y1:y2, x1:x2] = 200
    return dict(
        img=img,
        gt_masks=BitmapMasks(masks, size, size),
        gt_bboxes=HorizontalBoxes(np.array(boxes, np.float32)),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), bool),
    )


def test_scale_by_hand():
    """About the centre (31.5, 31.5), half the size: pixel x goes to 15.75 + x / 2."""
    found = RandomLesionAffine(max_rotate=0, scale_range=(0.5, 0.5), max_shift=0)(sample())
    expected = [[25.75, 27.75, 35.75, 33.75], [40.75, 40.75, 43.75, 45.75]]
    np.testing.assert_allclose(found["gt_bboxes"].numpy(), expected, atol=1)
    assert found["img"][30, 30].tolist() == [200] * 3 and found["img"][22, 22].max() == 0


def test_boxes_are_those_of_the_masks_and_image_and_mask_move_together():
    np.random.seed(0)
    for _ in range(20):
        found = RandomLesionAffine(30, (0.6, 1.5), 0.2)(sample())
        masks = found["gt_masks"].to_ndarray().astype(bool)
        for mask, box in zip(masks, found["gt_bboxes"].numpy(), strict=True):
            rows, columns = np.nonzero(mask)
            ends = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == ends
        union = masks.any(axis=0)
        bright = found["img"][..., 0] > 100
        assert (union & bright).sum() > 0.85 * union.sum()
        assert len(found["gt_bboxes_labels"]) == len(found["gt_ignore_flags"]) == len(masks)


def test_lost_lesions_go_with_their_rows():
    # A lesion at the corner leaves at twice the size, one at the centre stays.
    found = RandomLesionAffine(0, (2, 2), 0)(sample([(0, 0, 8, 8), (28, 28, 36, 36)]))
    assert found["gt_bboxes_labels"].tolist() == [1] and len(found["gt_bboxes"]) == 1


def test_without_any_lesion_left_nothing_changes():
    before = sample([(0, 0, 8, 8)])
    img = before["img"].copy()
    found = RandomLesionAffine(0, (2, 2), 0)(before)
    assert np.array_equal(found["img"], img) and len(found["gt_bboxes"]) == 1


def test_slices_without_lesions_are_moved():
    found = RandomLesionAffine(0, (0.5, 0.5), 0)(sample([]))
    assert len(found["gt_bboxes"]) == 0 and found["gt_masks"].masks.shape == (0, 64, 64)


def test_masks_are_asked_for():
    with pytest.raises(ValueError, match="with_mask=True"):
        RandomLesionAffine()(dict(img=np.zeros((8, 8, 3))))


def test_intensity_keeps_type_range_and_repeats():
    changed = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        img = RandomIntensity()(sample())["img"]
        assert img.dtype == np.float32 and img.shape == (64, 64, 3)
        assert img.min() >= 0 and img.max() <= 255
        changed.append(img)
    assert np.array_equal(changed[0], changed[1]) and not np.array_equal(changed[0], changed[2])


def test_intensity_of_zero_changes_nothing():
    img = sample()["img"]
    np.testing.assert_allclose(RandomIntensity(0, 0, 0)(sample())["img"], img, atol=1e-4)


@pytest.mark.parametrize("make", [RandomLesionAffine, RandomIntensity])
def test_probability_zero_changes_nothing(make):
    before = sample()
    assert make(prob=0)(before) is before


def test_bad_settings():
    with pytest.raises(ValueError, match="scale_range above 0 and rising"):
        RandomLesionAffine(scale_range=(1.2, 0.8))
    with pytest.raises(ValueError, match="bias from 0 to below 1"):
        RandomIntensity(bias=1)
