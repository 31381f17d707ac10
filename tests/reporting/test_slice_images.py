"""Embedded slices and outlines."""

import base64
import re

import cv2
import numpy as np
import pytest

from mmglan.reporting.slice_images import (
    decode_mask,
    encode,
    outline,
    read_slice,
    slice_of,
    thumbnail,
)


def _decoded(text):
    data = np.frombuffer(base64.b64decode(text), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def test_sixteen_bits_become_eight(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.array([[0, 255, 256, 65535]], np.uint16))
    assert read_slice(path).tolist() == [[0, 0, 1, 255]]
    cv2.imwrite(str(path), np.full((2, 2, 3), (10, 20, 60), np.uint8))
    assert read_slice(path).tolist() == [[30, 30], [30, 30]]
    with pytest.raises(FileNotFoundError, match=r"image b\.png"):
        read_slice(tmp_path / "b.png")
    path.write_text("no picture")
    with pytest.raises(ValueError, match="other contents"):
        read_slice(path)


def test_a_slice_is_looked_for_below_its_folder_only(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((2, 3), np.uint8))
    (tmp_path / "images").mkdir()
    assert slice_of({"id": 1, "file_name": "a.png"}, tmp_path).shape == (2, 3)
    for name, words in ((None, "image 1: Expected the file_name"), ("../a.png", "leaves it")):
        with pytest.raises(ValueError, match=words):
            slice_of({"id": 1, "file_name": name}, tmp_path / "images")


def test_small_images_are_exact_and_large_ones_bounded():
    small = np.arange(200, dtype=np.uint8).reshape(10, 20)
    kind, text = encode(small)
    assert kind == "image/png" and np.array_equal(_decoded(text), small)
    noise = np.random.default_rng(0).integers(0, 256, (900, 600), np.uint8)
    kind, text = encode(noise, max_side=450)
    assert kind == "image/jpeg" and _decoded(text).shape == (450, 300)
    kind, text = encode(np.random.default_rng(0).integers(0, 256, (640, 640), np.uint8))
    assert kind == "image/jpeg" and len(text) <= 120_000 * 4 / 3 + 4
    uri = thumbnail(noise)
    assert uri.startswith("data:image/jpeg;base64,")
    assert _decoded(uri.split(",")[1]).shape == (72, 72)


def test_outline_runs_along_the_edges_of_pixels():
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:6] = True
    points = [tuple(map(float, p.split())) for p in re.findall(r"[\d.]+ [\d.]+", outline(mask))]
    assert sorted(points) == [
        (3.125, 2.125),
        (3.125, 4.875),
        (5.875, 2.125),
        (5.875, 4.875),
    ]
    mask[7, 7] = True
    assert outline(mask).count("M") == 2
    assert outline(np.zeros((3, 3), bool)) == outline(None) == ""


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 3, 1, 3, 3, 1, 3]],
        {"size": [4, 4], "counts": [5, 2, 2, 2, 5]},
    ],
)
def test_polygons_and_run_lengths(segmentation):
    expected = np.zeros((4, 4), bool)
    expected[1:3, 1:3] = True
    assert np.array_equal(decode_mask(segmentation, 4, 4), expected)
    assert decode_mask(None, 4, 4) is None and decode_mask([], 4, 4) is None
