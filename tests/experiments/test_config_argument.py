"""A config that is named on a command line instead of given by its path."""

import pytest

from mmglan.experiments.config_argument import with_config_path
from mmglan.shipped_files import find_config

OURS = "glan_r50_fpn_160e_lesions"
PATH = str(find_config(OURS))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["--work-dir", "w"]),
        (["--local-rank=0"], ["--launcher", "pytorch"]),
        (["--work-dir", "w", "--launcher", "none"], ["--cfg-options", "a=1", "work_dir=x.py"]),
        (["--resume", "auto"], []),
        (["--amp"], ["epoch_1.pth"]),
    ],
)
@pytest.mark.parametrize("name", [OURS, f"glan/{OURS}", f"configs/glan/{OURS}.py", PATH])
def test_name_becomes_a_path_wherever_it_stands(before, name, after, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert with_config_path([*before, name, *after]) == [*before, PATH, *after]


def test_words_without_a_config_stay(tmp_path):
    for words in ([], ["--help"], ["--work-dir", OURS], ["--resume", OURS]):
        assert with_config_path(words) == words


def test_file_of_the_current_folder_is_meant_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{OURS}.py").touch()
    assert with_config_path([f"{OURS}.py"]) == [f"{OURS}.py"]


@pytest.mark.parametrize("name", [OURS[:-1], "none.py", "epoch_1.pth"])
def test_unknown_name_is_refused(name):
    with pytest.raises(FileNotFoundError, match=rf"^{name}: Expected a config but found no such"):
        with_config_path([name, "--amp"])
