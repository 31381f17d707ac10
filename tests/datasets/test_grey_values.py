"""Ranges of grey values: checked, converted as stated, or refused."""

import json

import cv2
import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmdet.utils import register_all_modules

from data_prep.dataset import coco_entries
from mmglan.datasets import LesionDataset, LoadSlice
from mmglan.datasets.grey_values import is_prepared, stated_range, to_float
from mmglan.datasets.uint8_transforms import UINT8_ONLY, check_pipeline, walk


@pytest.fixture(scope="module", autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.mark.parametrize(
    ("image", "value_range", "expected"),
    [
        (np.array([0, 4095], np.uint16), (0, 4095), [0, 255]),
        (np.array([0, 51], np.uint16), (0, 65535), [0, 51 * 255 / 65535]),
        (np.array([0, 0.5, 1], np.float32), (0, 1), [0, 127.5, 255]),
        (np.array([-1000, 0, 1000], np.int16), (-1000, 1000), [0, 127.5, 255]),
        (np.array([0, 200.5], np.float64), None, [0, 200.5]),
        (np.zeros(2, np.uint16), None, [0, 0]),
        (np.zeros(2, np.float32), None, [0, 0]),
    ],
)
def test_values_are_converted_as_stated(image, value_range, expected):
    found = to_float(image, None, value_range)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("image", "value_range", "words"),
    [
        (np.array([0, 3071], np.uint16), None, r"none above 3071, as of 12 bits.*\(0, 4095\)"),
        (np.array([0, 0.98]), None, r"from 0 to 255 but got none above 0\.98.*\(0, 1\)"),
        (np.array([0.0, 1200.0]), None, r"from 0 to 255 but got 0 to 1200"),
        (np.array([-3.0, 200.0]), None, r"from 0 to 255 but got -3 to 200"),
        (np.array([np.nan, 200.0]), None, r"from 0 to 255 but got nan"),
        (np.array([0, 5000], np.uint16), (0, 4095), "from 0 to 4095 but got 0 to 5000"),
        (np.array([0, 255], np.uint8), (0, 65535), "up to 65535, as stated, but got uint8"),
        (np.array([0, 1], np.int32), None, "8-bit, 16-bit or float pixels but got int32"),
    ],
)
def test_values_that_do_not_fit_are_refused(image, value_range, words):
    with pytest.raises(ValueError, match=rf"^a\.png: Expected .*{words}"):
        to_float(image, "a.png", value_range)


def test_what_annotation_files_state():
    assert stated_range(coco_entries.empty()["info"]) == (0, 65535)
    old = {"description": "abnormal lymph nodes, RECIST bookmarks"}
    assert stated_range(old) == (0, 65535)
    assert stated_range({"value_range": [0, 4095]}) == (0, 4095)
    assert stated_range({"description": "mine"}) is stated_range(None) is None
    for bad in ([0], [5, 5], "wide", [0, None]):
        with pytest.raises(ValueError, match="two rising numbers"):
            stated_range({"value_range": bad})


@pytest.fixture
def dark_set(tmp_path):
    """A set of one slice with values up to 3000; its statement is a parameter."""

    def write(info, **loading):
        folder = tmp_path / "images/v0001"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "v0001_0000.png"), np.full((4, 5), 3000, np.uint16))
        image = dict(id=1, file_name="v0001/v0001_0000.png", width=5, height=4)
        content = dict(info=info, images=[image], annotations=[])
        content["categories"] = [dict(id=1, name="lesion")]
        (tmp_path / "a.json").write_text(json.dumps(content))
        return LesionDataset(
            data_root=str(tmp_path),
            ann_file="a.json",
            data_prefix=dict(img="images/"),
            pipeline=[dict(type="LoadSlice", **loading)],
        )

    return write


def test_the_set_states_its_range_and_the_config_may_too(dark_set, tmp_path):
    full, twelve = 3000 * 255 / 65535, 3000 * 255 / 4095
    assert dark_set(coco_entries.empty()["info"])[0]["img"].max() == pytest.approx(full)
    assert dark_set({"value_range": [0, 4095]})[0]["img"].max() == pytest.approx(twelve)
    assert dark_set({}, value_range=(0, 4095))[0]["img"].max() == pytest.approx(twelve)
    with pytest.raises(ValueError, match=r"v0001_0000\.png: Expected 16-bit .* as of 12 bits"):
        dark_set({})[0]
    # By path alone, as in DetInferencer: a prepared set is known by its report.
    path = str(tmp_path / "images/v0001/v0001_0000.png")
    with pytest.raises(ValueError, match="as of 12 bits"):
        LoadSlice()(dict(img_path=path))
    (tmp_path / "report.json").write_text("{}")
    is_prepared.cache_clear()
    assert LoadSlice()(dict(img_path=path))["img"].max() == pytest.approx(full)


def slice_of(kind):
    rng = np.random.default_rng(0)
    grey = cv2.GaussianBlur(rng.integers(0, 256, (40, 40)).astype(np.uint8), (0, 0), 2)
    grey = cv2.normalize(grey, None, 3, 250, cv2.NORM_MINMAX)
    return np.repeat(grey[..., None], 3, axis=2).astype(kind)


COLOUR = ("Brightness", "Color", "Contrast", "Invert", "Sharpness", "Solarize", "SolarizeAdd")


@pytest.mark.parametrize("name", COLOUR)
def test_transforms_that_work_on_floats(name):
    found = []
    for kind in (np.uint8, np.float32):
        np.random.seed(0)
        found.append(TRANSFORMS.build(dict(type=name, prob=1.0))(dict(img=slice_of(kind)))["img"])
    assert found[1].dtype == np.float32
    assert np.abs(found[0].astype(float) - found[1]).max() < 1


@pytest.mark.parametrize("name", sorted({*UINT8_ONLY} - {"Albu"}))
def test_transforms_that_need_8_bits_are_refused_by_name_and_work_on_them(name, dark_set):
    settings = {} if name.startswith("YOLOX") else dict(prob=1.0)
    step = TRANSFORMS.build(dict(type=name, **settings))
    with pytest.raises(ValueError, match=rf"^{name}: Expected 8-bit pixels .*to_uint8=True"):
        check_pipeline([LoadSlice(), step])
    nested = TRANSFORMS.build(dict(type="RandomChoice", transforms=[[step], []]))
    with pytest.raises(ValueError, match=name):
        check_pipeline([LoadSlice()], [nested])
    check_pipeline([LoadSlice(to_uint8=True), nested])
    check_pipeline([step], None)  # after another loader
    slices = LoadSlice(to_uint8=True)(dict(img=slice_of(np.uint8)))
    assert slices["img"].dtype == np.uint8
    assert step(slices)["img"].dtype == np.uint8


def test_a_data_set_refuses_them_when_it_is_built(tmp_path, dark_set):
    dataset = dark_set({})
    dataset.pipeline.transforms.append(TRANSFORMS.build(dict(type="Equalize")))
    with pytest.raises(ValueError, match="Equalize"):
        check_pipeline(dataset.pipeline)
    policy = TRANSFORMS.build(dict(type="AutoAugment"))
    assert {type(step).__name__ for step in walk(policy)} >= {"Equalize", "Posterize"}
