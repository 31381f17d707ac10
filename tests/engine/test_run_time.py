"""Seeds of epochs and workers, start-up without a GPU, what a run records."""

import fcntl
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader, Dataset

from mmglan.engine.cpu_processes import should_start_gloo
from mmglan.engine.hooks.epoch_seed_hook import EpochSeedHook, seed_worker_from_torch
from mmglan.engine.hooks.run_info_hook import dataset_hash, describe_data, git_state
from mmglan.experiments.child_run import last_error, run_command, validation_scores

ROOT = Path(__file__).resolve().parents[2]


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def start_epoch(seed: int, epoch: int, loader: DataLoader) -> None:
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    runner = SimpleNamespace(seed=seed, epoch=epoch, train_loop=loop, train_dataloader=loader)
    EpochSeedHook().before_train(runner)
    EpochSeedHook().before_train_epoch(runner)


def draws_of(seed: int, epoch: int) -> tuple[float, float, float]:
    start_epoch(seed, epoch, DataLoader(Noise()))
    return draws()


def test_numbers_depend_on_seed_and_epoch_only():
    first = draws_of(0, 3)
    draws()
    assert draws_of(0, 3) == first
    others = [draws_of(0, 4), draws_of(1, 3), draws_of(3, 0)]
    assert all(a != b for other in others for a, b in zip(other, first, strict=True))


class Noise(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.random.rand()


def test_workers_repeat_an_epoch_and_differ_between_epochs_and_each_other():
    loader = DataLoader(Noise(), num_workers=2, worker_init_fn=seed_worker_from_torch)

    def epoch(number):
        start_epoch(0, number, loader)
        return torch.cat(list(loader)).tolist()

    first, second = epoch(0), epoch(1)
    assert epoch(0) == first
    assert len(set(first + second)) == 8


def test_gloo_starts_only_where_a_launcher_meets_no_gpu():
    launched = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    assert should_start_gloo(launched, has_cuda=False)
    assert not should_start_gloo(launched, has_cuda=True)
    assert not should_start_gloo({"LOCAL_RANK": "0"}, has_cuda=False)


def test_importing_the_start_up_module_opens_the_group():
    code = (
        "import mmglan.engine.cpu_processes, torch.distributed as d;"
        "print(d.is_initialized() and d.get_backend())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1"}
    environment |= {"MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert found.stdout.strip().endswith("gloo"), found.stderr[-500:]


def test_processes_end_well_while_gloo_still_works():
    """Without an orderly end about every second of these pairs aborts."""
    script = str(Path(__file__).with_name("scripts") / "leave_work_to_gloo.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            environment["MASTER_PORT"] = str(probe.getsockname()[1])
        pair = [
            subprocess.Popen(
                [sys.executable, script], env={**environment, "RANK": rank, "LOCAL_RANK": rank}
            )
            for rank in "01"
        ]
        assert [process.wait(timeout=120) for process in pair] == [0, 0]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_git_state_names_commit_and_changed_files(tmp_path):
    assert git_state(tmp_path) == {"commit": None, "changed_files": None}
    git(tmp_path, "init", "-q")
    (tmp_path / "a.txt").write_text("1")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "changed_files": []}
    (tmp_path / "a.txt").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "changed_files": ["a.txt"]}


def test_git_state_gives_names_as_they_are(tmp_path):
    git(tmp_path, "init", "-q")
    for name in ("a b.txt", "ü.txt", "old.txt"):
        (tmp_path / name).write_text(name)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    (tmp_path / "a b.txt").write_text("2")
    (tmp_path / "ü.txt").write_text("2")
    git(tmp_path, "mv", "old.txt", "new.txt")
    changed = git_state(tmp_path)["changed_files"]
    assert changed == ["a b.txt", "new.txt", "old.txt", "ü.txt"]


def test_a_package_installed_below_a_checkout_is_not_of_its_commit(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(".venv\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    installed = tmp_path / ".venv/mmglan"
    installed.mkdir(parents=True)
    (installed / "a.py").write_text("1")
    assert git_state(installed) == {"commit": None, "changed_files": None}


def test_dataset_hash_changes_with_annotations_and_images(tmp_path):
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"images": [{"file_name": "v/1.png"}], "annotations": []}))
    missing = dataset_hash(file, tmp_path)
    (tmp_path / "v").mkdir()
    (tmp_path / "v/1.png").write_bytes(b"abc")
    whole = dataset_hash(file, tmp_path)
    assert missing != whole and whole == dataset_hash(file, tmp_path)
    (tmp_path / "v/1.png").write_bytes(b"abcd")
    assert dataset_hash(file, tmp_path) != whole
    (tmp_path / "v/1.png").write_bytes(b"xyz")  # contents are not read: sizes are
    assert dataset_hash(file, tmp_path) == whole
    file.write_text(file.read_text() + " ")
    assert dataset_hash(file, tmp_path) != whole


def test_data_sets_of_every_form_are_described(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"images": []}))

    def data(name, length):
        return type("Data", (), {"ann_file": str(name), "__len__": lambda self: length})()

    def wrapped(length, **parts):
        return type("Wrapper", (), {**parts, "__len__": lambda self: length})()

    one = describe_data(wrapped(6, dataset=data(file, 3)))
    whole = hashlib.sha256(file.read_bytes()).hexdigest()
    assert one == {"annotation_file": str(file), "n_images": 6, "dataset_sha256": whole}
    twice = describe_data(wrapped(6, datasets=[data(file, 3), wrapped(3, dataset=data(file, 3))]))
    assert twice["annotation_file"] == [str(file)] * 2
    assert twice["dataset_sha256"] == hashlib.sha256(f"{whole} {whole}".encode()).hexdigest()
    elsewhere = data("s3://bucket/b.json", 4)
    joined = describe_data(wrapped(7, datasets=[data(file, 3), elsewhere]))
    assert joined["annotation_file"] == [str(file), "s3://bucket/b.json"]
    assert joined["dataset_sha256"] is None
    assert describe_data(wrapped(5))["dataset_sha256"] is None


def test_failing_command_is_told_by_its_last_line(tmp_path):
    code = "import sys; print('reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RuntimeError, match=r"exit status 3, see .*log: reason"):
        run_command([sys.executable, "-c", code], tmp_path / "log")


def test_reason_is_found_above_what_a_launcher_prints_after_it():
    log = (
        "[rank1]: ValueError: Expected b.\n[rank0]: Traceback\n[rank0]: x.y.OddError: Expected a.\n"
    )
    log += "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n=====\n"
    assert last_error(log) == "x.y.OddError: Expected a."
    assert last_error("error: w: Expected a directory\n=====\n") == "error: w: Expected a directory"
    assert last_error("step 1\nKilled\n") == "Killed"
    assert last_error("") == ""


def test_watched_command_is_stopped(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert run_command(command, tmp_path / "log", watch=lambda: True, poll_s=0.1) is False


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_a_command_dies_with_its_killed_parent(tmp_path):
    child = "import fcntl, time; file = open('lock', 'w'); fcntl.flock(file, fcntl.LOCK_EX);"
    child += "print('locked', flush=True); time.sleep(600)"
    parent = "import sys; from pathlib import Path;"
    parent += "from mmglan.experiments.child_run import run_command;"
    parent += f"run_command([sys.executable, '-c', {child!r}], Path('log'))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, env=environment)
    while not ((tmp_path / "log").exists() and "locked" in (tmp_path / "log").read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # comes back once the child is gone; else times out


def test_scores_of_resumed_runs_are_joined(tmp_path):
    for name, lines in {
        "1": '{"lesion/bbox_AP25": 0.5, "step": 1}\n{"loss": 1.0, "step": 3}\n{"lesion/bb',
        "2": '{"lesion/bbox_AP25": 0.75, "step": 2}\n',
    }.items():
        folder = tmp_path / name / "vis_data"
        folder.mkdir(parents=True)
        (folder / "scalars.json").write_text(lines)
    assert validation_scores(tmp_path, "lesion/bbox_AP25") == {1: 0.5, 2: 0.75}
