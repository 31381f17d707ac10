"""Reading slices, with values."""

import cv2
import numpy as np
import pytest
import small_sets
from mmcv.transforms import Compose
from mmdet.utils import register_all_modules

from data_prep.dataset.one_volume import intensity
from mmglan.datasets import LesionDataset, LoadSlice
from mmglan.datasets.grey_values import to_float
from mmglan.datasets.transforms import numbered_neighbours


@pytest.fixture(scope="module", autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.fixture
def volume(tmp_path):
    """Six 16-bit slices of 4 x 5 pixels; slice i holds i * 10000."""
    folder = tmp_path / "v0001"
    folder.mkdir()
    for i in range(6):
        cv2.imwrite(str(folder / f"{i:04d}.png"), np.full((4, 5), i * 10000, dtype=np.uint16))
    return folder


def values(img):
    """The grey value of each (constant) channel, in steps of 10000 of 16 bits."""
    assert (img == img[:1, :1]).all()
    return (img[0, 0] / 255 * 65535 / 10000).round(3).tolist()


def test_sixteen_bits_become_float_in_0_to_255(volume):
    results = LoadSlice()(dict(img_path=str(volume / "0003.png")))
    assert results["img"].dtype == np.float32 and results["img"].shape == (4, 5, 3)
    np.testing.assert_allclose(results["img"], 30000 * 255 / 65535, rtol=1e-6)
    assert results["img_shape"] == results["ori_shape"] == (4, 5)
    assert to_float(np.array([0, 65535], dtype=np.uint16)).tolist() == [0, 255]


def test_eight_bits_and_floats_stay(tmp_path):
    image = np.arange(20, dtype=np.uint8).reshape(4, 5)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    loaded = LoadSlice()(dict(img_path=str(tmp_path / "a.png")))["img"]
    for channel in range(3):
        np.testing.assert_array_equal(loaded[..., channel], image)
    np.testing.assert_array_equal(LoadSlice()(dict(img=image / 2.0))["img"][..., 0], image / 2)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    ("slice_index", "context", "expected"),
    [(2, 1, [1, 2, 3]), (2, 2, [0, 1, 2, 3, 4]), (0, 2, [0, 0, 0, 1, 2]), (5, 1, [4, 5, 5])],
)
def test_neighbours_are_channels_in_order(slice_index, context, expected, listed, volume):
    results = dict(img_path=str(volume / f"{slice_index:04d}.png"))
    if listed:
        offsets = [o for o in range(-2, 3) if o]
        found = [min(5, max(0, slice_index + o)) for o in offsets]
        results["neighbours"] = [str(volume / f"{i:04d}.png") for i in found]
    assert values(LoadSlice(context)(results)["img"]) == expected


def test_a_gap_in_the_numbers_repeats_the_slice_before_it(volume):
    (volume / "0004.png").unlink()
    path = str(volume / "0003.png")
    names = [p and p[-8:] for p in numbered_neighbours(path, 2)]
    assert names == ["0001.png", "0002.png", None, "0005.png"]
    assert values(LoadSlice(2)(dict(img_path=path))["img"]) == [1, 2, 3, 3, 5]


def test_an_array_without_neighbours_is_repeated_and_one_with_them_is_kept(volume):
    grey = np.full((4, 5), 20000, dtype=np.uint16)
    assert values(LoadSlice(1)(dict(img=grey))["img"]) == [2, 2, 2]
    stack = np.stack([grey, grey // 2, grey * 2], axis=2)
    assert values(LoadSlice(1)(dict(img=stack))["img"]) == [2, 1, 4]


def test_a_grey_file_of_three_channels_has_neighbours_too(tmp_path):
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i:04d}.png"), np.full((4, 5, 3), i * 50, dtype=np.uint8))
    results = LoadSlice(1)(dict(img_path=str(tmp_path / "0001.png")))
    assert results["img"][0, 0].tolist() == [0, 50, 100]


def test_after_mmdets_own_loader_as_in_its_inference(volume):
    path = str(volume / "0003.png")
    pipeline = Compose(
        [dict(type="LoadImageFromFile", color_type="unchanged"), dict(type="LoadSlice", context=1)]
    )
    both = pipeline(dict(img_path=path))["img"]
    np.testing.assert_array_equal(both, LoadSlice(1)(dict(img_path=path))["img"])


def test_five_channels_go_through_the_pipeline(volume):
    pipeline = Compose(
        [
            dict(type="LoadSlice", context=2),
            dict(type="Resize", scale=(10, 8), keep_ratio=True),
            dict(type="RandomFlip", prob=1.0),
            dict(type="PackDetInputs", meta_keys=("img_shape", "flip")),
        ]
    )
    packed = pipeline(dict(img_path=str(volume / "0002.png")))
    assert packed["inputs"].shape == (5, 8, 10)
    steps = (packed["inputs"][:, 0, 0] / 255 * 65535 / 10000).round()
    assert steps.tolist() == [0, 1, 2, 3, 4]


def test_errors_name_the_file(volume, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected the image .*0009.png but got no such"):
        LoadSlice()(dict(img_path=str(volume / "0009.png")))
    (volume / "bad.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"bad.png: Expected an image but got"):
        LoadSlice()(dict(img_path=str(volume / "bad.png")))
    colours = np.zeros((4, 5, 3), dtype=np.uint8)
    colours[..., 1] = 9
    with pytest.raises(ValueError, match="Expected a grey image but got colours"):
        LoadSlice()(dict(img=colours))
    cv2.imwrite(str(tmp_path / "colours.png"), colours)
    with pytest.raises(ValueError, match=r"colours.png: Expected a grey image but got colours"):
        LoadSlice(1)(dict(img_path=str(tmp_path / "colours.png")))
    for shape in ((4, 5, 2), (4, 5, 5), (1, 4, 5, 3)):
        with pytest.raises(ValueError, match=r"Expected a grey image but got an array of shape"):
            LoadSlice()(dict(img=np.zeros(shape, dtype=np.uint8)))
    cv2.imwrite(str(volume / "0004.png"), np.zeros((3, 3), dtype=np.uint16))
    with pytest.raises(ValueError, match=r"0004.png: Expected a slice of \(4, 5\) pixels"):
        LoadSlice(1)(dict(img_path=str(volume / "0003.png")))
    with pytest.raises(ValueError, match=r"Expected 4 neighbouring slices but got 2"):
        LoadSlice(2)(dict(img_path=str(volume / "0003.png"), neighbours=["a", "b"]))
    with pytest.raises(ValueError, match="Expected context to be 0 or more but got -1"):
        LoadSlice(-1)
    with pytest.raises(ValueError, match=r"Expected 8-bit, 16-bit or float pixels but got int32"):
        LoadSlice()(dict(img=np.zeros((4, 5), dtype=np.int32)))


def test_neighbours_that_are_links_out_of_the_folder_are_not_read(volume, tmp_path):
    cv2.imwrite(str(tmp_path / "secret.png"), np.full((4, 5), 60000, dtype=np.uint16))
    (volume / "0004.png").unlink()
    (volume / "0004.png").symlink_to(tmp_path / "secret.png")
    assert numbered_neighbours(str(volume / "0003.png"), 1) == [str(volume / "0002.png"), None]


WINDOWS = [(-175, 275), (-1024, 200), (-1024, 3071)]


def test_windows_of_ct_are_channels():
    """50 HU is the middle of soft tissue; −1024 HU is black and 400 HU is white in it."""
    units = np.array([[50.0, -1024.0, 400.0, 200.0]])
    stored = intensity.to_uint16(intensity.window(units, -1024, 3071))
    results = dict(img=stored, normalize="window:-1024,3071", value_range=(0, 65535))
    img = LoadSlice(windows=WINDOWS)(results)["img"]
    expected = [
        [127.5, 0, 255, 255 * 375 / 450],
        [255 * 1074 / 1224, 0, 255, 255],
        [255 * 1074 / 4095, 0, 255 * 1424 / 4095, 255 * 1224 / 4095],
    ]
    assert img.dtype == np.float32 and img.shape == (1, 4, 3)
    np.testing.assert_allclose(img[0].T, expected, atol=0.02)  # 1/32 HU of the 16 bits


def test_windows_that_the_slices_do_not_hold_are_refused():
    slices = dict(img=np.full((4, 5), 20000, np.uint16), value_range=(0, 65535))
    load = LoadSlice(windows=WINDOWS)
    assert load(slices | dict(normalize=None))["img"].shape == (4, 5, 3)
    for other in ("image", "window:-175,275"):
        with pytest.raises(ValueError, match=r"normalised by window:-1024,3071.* but got " + other):
            load(slices | dict(normalize=other))
    with pytest.raises(ValueError, match="within the stored one, -175 to 275"):
        LoadSlice(windows=WINDOWS, stored_window=(-175, 275))
    with pytest.raises(ValueError, match="windows or a context"):
        LoadSlice(context=1, windows=WINDOWS)


def test_a_prepared_set_states_how_its_slices_were_normalised(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    small_sets.volume(images / "a.mha")
    marks = small_sets.HEADER + "\n" + small_sets.cross("a.mha", 2)
    (tmp_path / "marks.csv").write_text(marks)
    out = tmp_path / "out"
    options = ["--normalize", "window:-175,275", "--split", "1,0,0"]
    assert small_sets.run(images, tmp_path / "marks.csv", out, *options) == 0
    pipeline = [dict(type="LoadSlice", windows=[(-175, 0), (0, 275)], stored_window=(-175, 275))]
    paths = dict(data_root=str(out), ann_file="annotations/train.json")
    data = LesionDataset(**paths, data_prefix=dict(img="images/"), pipeline=pipeline)
    assert data[0]["img"].shape[2] == 2
    pipeline[0] = dict(type="LoadSlice", windows=WINDOWS)
    other = LesionDataset(**paths, data_prefix=dict(img="images/"), pipeline=pipeline)
    with pytest.raises(ValueError, match="but got window:-175,275"):
        other[0]
