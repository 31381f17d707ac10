"""Boxes of the global scales, by hand."""

import pytest
import torch

from mmglan.models.global_rois import fractional_rois, level_of_scale, whole_image_rois

SIZES = torch.tensor([[100.0, 200.0], [60.0, 40.0]])  # height, width


def test_whole_images():
    expected = torch.tensor([[0.0, 0, 0, 200, 100], [1, 0, 0, 40, 60]])
    assert torch.equal(whole_image_rois(SIZES), expected)


def test_a_tenth_is_centred_on_the_roi_and_shifted_inside():
    rois = torch.tensor(
        [
            [0.0, 90, 40, 110, 60],  # centre (100, 50): fits
            [0, 0, 0, 4, 4],  # centre (2, 2): shifted to the corner
            [0, 190, 90, 200, 100],  # shifted to the other corner
            [1, 10, 10, 30, 30],  # the other image: 4 x 6 pixels
        ]
    )
    expected = torch.tensor(
        [
            [0.0, 90, 45, 110, 55],
            [0, 0, 0, 20, 10],
            [0, 180, 90, 200, 100],
            [1, 18, 17, 22, 23],
        ]
    )
    torch.testing.assert_close(fractional_rois(rois, SIZES, 0.1), expected)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_fractions_have_their_size_and_stay_inside(fraction):
    torch.manual_seed(0)
    index = torch.randint(2, (50,))
    corner = torch.rand(50, 2) * SIZES[index].flip(1)
    rois = torch.cat([index[:, None].float(), corner, corner + 5], dim=1)
    boxes = fractional_rois(rois, SIZES, fraction)
    size_xy = SIZES[index].flip(1)
    torch.testing.assert_close(boxes[:, 3:] - boxes[:, 1:3], fraction * size_xy)
    assert (boxes[:, 1:3] >= -1e-4).all() and (boxes[:, 3:] <= size_xy + 1e-4).all()
    assert torch.equal(boxes[:, 0], rois[:, 0])


def test_each_halving_goes_one_level_finer():
    levels = {fraction: level_of_scale(fraction, 4) for fraction in (1, 0.5, 0.25, 0.125, 0.1)}
    assert levels == {1: 3, 0.5: 2, 0.25: 1, 0.125: 0, 0.1: 0}
    assert level_of_scale(0.1, 1) == 0


def test_boxes_stay_on_the_device_of_their_images():
    assert whole_image_rois(SIZES.to("meta")).device.type == "meta"
    assert whole_image_rois(SIZES.double()).dtype == torch.float64
