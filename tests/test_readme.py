"""What the README says is there, and its cheap commands run."""

import re
import shlex
import subprocess
import sys

import pytest

from data_prep.phantoms import abdomen


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def commands(readme):
    """Lines of the fenced blocks that start a program, without their comments."""
    blocks = "\n".join(re.findall(r"```\n(.*?)```", readme, flags=re.S))
    lines = [line.split("#")[0].strip() for line in blocks.splitlines()]
    return [line for line in lines if re.match(r"(mmglan|bash|make) ", line)]


def test_every_config_of_the_table_exists(repository, readme):
    named = re.findall(r"`((?:glan|ablations|baselines)/[^`]+\.py)`", readme)
    files = []
    for name in named:
        alternatives = re.search(r"\{(.*?)\}", name)
        for word in alternatives.group(1).split(",") if alternatives else [""]:
            files.append(name.replace(alternatives.group(0), word) if alternatives else name)
    assert len(files) >= 23
    assert [name for name in files if not (repository / "configs" / name).is_file()] == []


def test_every_link_and_path_exists(repository, readme):
    links = re.findall(r"\]\(([^)]+)\)", readme)
    paths = re.findall(r"`((?:data_prep|mmglan|tools)/[\w/]+(?:\.py|\.sh)?/?)`", readme)
    assert [p for p in links + paths if not (repository / p).exists()] == []


def test_make_targets_exist(repository, commands):
    makefile = (repository / "Makefile").read_text()
    targets = {line.split()[1] for line in commands if line.startswith("make ")}
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.M) for target in targets)


def test_data_commands_run_as_written(tmp_path, commands):
    abdomen.write_dataset(tmp_path, 4, shape=(8, 96, 96), n_nodes=2)
    (tmp_path / "images").rename(tmp_path / "volumes")
    run = [line for line in commands if re.match("mmglan (prepare|verify) ", line)]
    assert len(run) == 2
    for line in run:
        command = [sys.executable, "-m", "mmglan", *shlex.split(line)[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "lesions" / "annotations" / "train_recist.json").is_file()


def test_other_commands_explain_themselves(tmp_path, commands):
    names = {line.split()[1] for line in commands if line.startswith("mmglan ")}
    after_data = {"train", "test", "infer", "report", "package", "review", "run-table"}
    assert names == {"prepare", "verify"} | after_data
    for name in sorted(after_data):
        command = [sys.executable, "-m", "mmglan", name, "--help"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "usage:" in done.stdout, done.stderr
