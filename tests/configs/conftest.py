"""A tiny prepared data set and the zoo's files, for the tests of configs."""

import shutil
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from data_prep import prepare
from data_prep.phantoms import abdomen

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="session", autouse=True)
def _mmdet_scope():
    """Names in configs are mmdet's, as they are for a runner."""
    init_default_scope("mmdet")


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """Prepared phantoms: slices of 64 x 64 pixels, some of them without lesions."""
    folder = tmp_path_factory.mktemp("tiny")
    bookmarks = abdomen.write_dataset(
        folder / "raw", 6, n_nodes=3, n_empty=2, shape=(8, 64, 64), spacing_mm=(5.0, 5.0, 5.0)
    )
    status = prepare.main(
        ["--images", str(folder / "raw/images"), "--bookmarks", str(bookmarks)]
        + ["--masks", str(folder / "raw/masks"), "--out-dir", str(folder / "data")]
        + ["--keep-empty", "all", "--max-empty", "2", "--split", "0.5,0.25,0.25"]
        + ["--context", "1", "--whole-volumes", "--overlays", "0", "--quiet"]
        # The one that DeepLesion's windows are cut out of; the other configs take any.
        + ["--normalize", "window:-1024,3071"]
    )
    assert status == 0
    # The benchmark's configs read the files of a fold.
    annotations = folder / "data" / "annotations"
    files = sorted(annotations.glob("*.json"))
    (annotations / "fold0").mkdir()
    for file in files:
        shutil.copy(file, annotations / "fold0")
    return folder / "data"


@pytest.fixture(scope="session")
def load_config():
    """Read a config of the zoo by its stem, once each; do not change what you get."""
    files = {path.stem: path for path in CONFIGS.glob("[!_]*/*.py")}
    return cache(lambda stem: Config.fromfile(files[stem]))
