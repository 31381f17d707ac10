"""The examples in docstrings do as they say."""

import doctest
import subprocess
import sys
from importlib import import_module

import pytest

import data_prep

MODULES = [
    "data_prep.bookmarks.read_bookmarks",
    "data_prep.bookmarks.recist",
    "data_prep.pseudo_masks.methods",
    "data_prep.shown_text",
    "data_prep.volumes.search.file_names",
    "data_prep.volumes.search.volume_index",
    "data_prep.volumes.volume",
    "mmglan.api",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, attempted = doctest.testmod(import_module(name))
    assert attempted > 0 and failed == 0


def test_public_calls_are_loaded_when_used():
    assert set(data_prep.__all__) <= set(dir(data_prep))
    assert all(callable(getattr(data_prep, name)) for name in data_prep.__all__)
    with pytest.raises(AttributeError, match="read_everything"):
        _ = data_prep.read_everything
    code = "import sys, data_prep; print(len({'numpy', 'SimpleITK', 'pydicom'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert output.stdout.split() == [b"0"]
