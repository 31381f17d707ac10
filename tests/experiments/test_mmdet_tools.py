"""What our scripts do with the command line before mmdet's own script sees it."""

from pathlib import Path

import pytest
import torch

from mmglan.experiments.mmdet_tools import (
    is_first_process,
    tool_path,
    with_checkpoint_to_resume,
    with_weights_to_start_from,
    work_dir_of,
)

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "name", ["train.py", "test.py", "dist_train.sh", "dist_test.sh", "slurm_train.sh"]
)
def test_scripts_are_those_of_the_installed_mmdet(name):
    assert tool_path(name).is_file()
    assert ROOT not in tool_path(name).parents or "site-packages" in str(tool_path(name))


def test_missing_script_is_an_error_that_says_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"Expected mmdet's none\.py .* Install mmdet"):
        tool_path("none.py")


@pytest.fixture
def config(tmp_path, monkeypatch) -> str:
    """Name of a config in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text("x = 1\n")
    return "a.py"


def test_work_dir_is_found_behind_what_a_launcher_puts_first(config):
    words = ["--local-rank=0", config, "--launcher", "pytorch"]
    assert work_dir_of(words) == Path("work_dirs/a")
    assert work_dir_of([*words, "--work-dir", "w"]) == Path("w")
    assert work_dir_of([*words, "--work-dir=w"]) == Path("w")
    assert work_dir_of(["--help"]) is None


def test_work_dir_of_the_config_counts_as_it_does_for_mmdet(config):
    Path("base.py").write_text("work_dir = 'in/config'\n")
    Path("b.py").write_text("_base_ = 'base.py'\n")
    assert work_dir_of(["b.py"]) == Path("in/config")
    assert work_dir_of(["b.py", "--cfg-options", "x=2", "work_dir=option"]) == Path("option")
    assert work_dir_of(["b.py", "--work-dir", "w", "--cfg-options", "work_dir=x"]) == Path("w")


def test_missing_config_is_an_error_that_names_it(config):
    for words in (["none.py"], ["none.py", "--work-dir", "w"]):
        with pytest.raises(FileNotFoundError, match=r"^none\.py: Expected a config"):
            work_dir_of(words)


def test_resume_is_dropped_while_there_is_nothing(config):
    words = [config, "--work-dir", "w", "--resume"]
    assert with_checkpoint_to_resume(words) == words[:-1]
    assert with_checkpoint_to_resume([*words, "--amp"]) == [*words[:-1], "--amp"]
    assert with_checkpoint_to_resume(["--resume", *words[:-1]]) == words[:-1]
    assert with_checkpoint_to_resume([*words, "auto", "--amp"]) == [*words[:-1], "--amp"]
    assert with_checkpoint_to_resume([*words[:-1], "--resume=auto"]) == words[:-1]
    assert with_checkpoint_to_resume(words[:-1]) == words[:-1]


def test_checkpoint_named_by_the_user_stays(config):
    words = [config, "--work-dir", "w"]
    for named in (["--resume=x.pth"], ["--resume", "x.pth"]):
        assert with_checkpoint_to_resume([*words, *named]) == [*words, *named]


def test_resume_names_the_checkpoint_in_the_run_directory(config):
    run_dir = Path("moved")
    run_dir.mkdir()
    torch.save({}, run_dir / "epoch_1.pth")
    (run_dir / "last_checkpoint").write_text("/where/it/was/epoch_1.pth")
    words, found = [config, "--work-dir", "moved"], ["--resume", "moved/epoch_1.pth"]
    assert with_checkpoint_to_resume([*words, "--resume"]) == [*words, *found]
    assert with_checkpoint_to_resume([*words, "--resume=auto", "--amp"]) == [
        *words,
        *found,
        "--amp",
    ]
    assert with_checkpoint_to_resume(["--resume", *words]) == [*found, *words]


def test_run_without_a_whole_checkpoint_is_left_to_the_reader_that_says_so(config):
    Path("w").mkdir()
    Path("w/last_checkpoint").write_text("epoch_1.pth")
    words = [config, "--work-dir", "w", "--resume"]
    assert with_checkpoint_to_resume(words) == [*words, "auto"]


def test_first_process_is_that_of_the_launcher_named():
    nested = {"RANK": "1", "SLURM_PROCID": "1"}  # alone, in a task of a Slurm job
    assert is_first_process(["a.py"], nested)
    assert not is_first_process(["a.py", "--launcher", "pytorch"], nested)
    assert not is_first_process(["a.py", "--launcher=slurm"], nested)
    assert is_first_process(["a.py", "--launcher=slurm"], {"RANK": "1", "SLURM_PROCID": "0"})


def test_a_new_run_starts_from_a_model(config, tmp_path):
    (tmp_path / "m.pth").touch()
    words = [config, "--cfg-options", "seed=1"]
    expected = [*words, "--cfg-options", "load_from=m.pth"]
    assert with_weights_to_start_from([*words, "--resume-from", "m.pth"]) == expected
    assert with_weights_to_start_from([*words, "--resume-from=m.pth"]) == expected
    assert with_weights_to_start_from(words) == words
    for end in (["--resume-from"], ["--resume-from", "none.pth"]):
        with pytest.raises(FileNotFoundError, match=r"after --resume-from .* Name the \.pth"):
            with_weights_to_start_from([config, *end])
