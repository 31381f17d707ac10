"""Segmentations of all COCO forms, and damaged ones, on which pycocotools would hang."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmglan.detections.coco_masks import encode_segmentation, rle_of

IMAGE = {"id": 7, "height": 96, "width": 80}
GOOD = mask_utils.encode(np.asfortranarray(np.eye(96, 80, dtype=np.uint8)))


def test_sound_codes_pass_unchanged():
    rng = np.random.default_rng(0)
    for height, width, share in [(1, 1, 0), (1, 1, 1), (500, 300, 0), *[(9, 13, 0.4)] * 50]:
        mask = (rng.random((height, width)) < share).astype(np.uint8)
        code = mask_utils.encode(np.asfortranarray(mask))
        assert encode_segmentation(code, height, width) is code
        flat = mask.T.ravel()
        ends = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *ends, flat.size]).tolist()
        runs = [0, *runs] if flat[0] else runs
        plain = {"size": [height, width], "counts": runs}
        assert encode_segmentation(plain, height, width)["counts"] == code["counts"]


def test_polygon():
    code = rle_of(IMAGE, {"segmentation": [[1, 1, 11, 1, 11, 6, 1, 6]]})
    assert mask_utils.area(code) == 50


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([5, 50000, 9216], "3 runs over 59221 pixels"),
        ([5, 5], "2 runs over 10 pixels"),
        ([10**30, 5], "damaged"),
        ([-5, 5, 7680], "0 or more pixels but got one of -5;"),
        ([0.5, 3], "damaged"),
        (GOOD["counts"][:-3], "damaged"),
        (GOOD["counts"][:7], "damaged"),
        ("hello world zzzz", "damaged"),
        ("é" * 9, "damaged"),
        ("o" * 40 + "0", "damaged"),
        (None, "damaged"),
    ],
)
def test_damaged_codes_are_errors(counts, words):
    record = {"segmentation": {"size": [96, 80], "counts": counts}}
    with pytest.raises(ValueError, match=rf"image 7: Expected runs .*{words}"):
        rle_of(IMAGE, record)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        (None, "one has none"),
        ([], "one has none"),
        (5, "polygons"),
        ([[1, 2, 3, 4]], "polygons"),
        ([[1e9, 1e9, 2e9, 1e9, 2e9, 2e9]], "polygons"),
        ([[-81, 0, 5, 0, 5, 5]], "polygons"),
        ([[1, 2, 3, 4, 5]], "polygons"),
        ([[1, 2, 3, 4, 5, float("nan")]], "polygons"),
        ({"counts": GOOD["counts"]}, "96 x 80 pixels but got None"),
        ({"size": [80, 96], "counts": GOOD["counts"]}, "96 x 80 pixels but got 80 x 96"),
    ],
)
def test_other_segmentations_are_errors(segmentation, words):
    with pytest.raises(ValueError, match=rf"image 7: .*{words}"):
        rle_of(IMAGE, {"segmentation": segmentation})


def test_a_size_in_words_is_shown_as_such():
    segmentation = {"size": ["96", "80"], "counts": GOOD["counts"]}
    with pytest.raises(ValueError, match=r"mask of 96 x 80 pixels but got '96' x '80'"):
        rle_of(IMAGE, {"segmentation": segmentation})


def test_an_image_without_a_size():
    with pytest.raises(ValueError, match=r"image 7: Expected height and width, .* None and 80"):
        rle_of({"id": 7, "width": 80}, {"segmentation": GOOD})


def test_sizes_that_no_memory_holds_are_errors():
    """The decoder of pycocotools ends the process where height times width overflows."""
    image = {"id": 7, "height": 100_000, "width": 100_000}
    for segmentation in ({"size": [100_000, 100_000], "counts": "PPYo1"}, [[0, 0, 9, 0, 9, 9]]):
        with pytest.raises(ValueError, match=r"image 7: Expected an image of at most 268435456 "):
            rle_of(image, {"segmentation": segmentation})
    floats = {"size": [96.0, 80.0], "counts": GOOD["counts"]}
    with pytest.raises(ValueError, match=r"mask of 96 x 80 pixels but got 96\.0 x 80\.0"):
        rle_of(IMAGE, {"segmentation": floats})
