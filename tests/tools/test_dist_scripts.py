"""tools/dist_train.sh and dist_test.sh, with workers that do nothing."""

import fcntl
import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import fcntl, json, os, sys, time
from pathlib import Path
from mmglan.experiments.parent_death import die_with_launcher

die_with_launcher()
folder = Path(os.environ["FOLDER"])
file = open(folder / f"lock{os.environ['RANK']}", "w")
fcntl.flock(file, fcntl.LOCK_EX)
(folder / f"words{os.environ['RANK']}").write_text(json.dumps(sys.argv[1:]))
time.sleep(float(os.environ["SECONDS_TO_LIVE"]))
"""
PARENT = """
import sys
from pathlib import Path
from mmglan.experiments.child_run import run_command
run_command(sys.argv[2:], Path(sys.argv[1]))
"""


@pytest.fixture
def scripts(tmp_path) -> Path:
    """The scripts beside idle workers, in a folder whose name holds a space."""
    folder = tmp_path / "some tools"
    folder.mkdir()
    for name in ("dist_train.sh", "dist_test.sh"):
        shutil.copy(ROOT / "tools" / name, folder / name)
    for name in ("train.py", "test.py"):
        (folder / name).write_text(WORKER)
    return folder


def environment_of(command_environment, folder: Path, seconds: float) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return {
        **command_environment,
        "FOLDER": str(folder),
        "SECONDS_TO_LIVE": str(seconds),
        "PORT": port,
    }


@pytest.mark.parametrize("kind", ["train", "test"])
def test_arguments_arrive_as_they_were_given(kind, scripts, tmp_path, command_environment):
    checkpoint = ["a b.pth"] if kind == "test" else []
    rest = ["--work-dir", "c d", "--cfg-options", "model.x=[1,2]", "y=*"]
    command = ["bash", str(scripts / f"dist_{kind}.sh"), "a config.py", *checkpoint, "1", *rest]
    environment = environment_of(command_environment, tmp_path, 0)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    words = json.loads((tmp_path / "words0").read_text())
    words = [word for word in words if not word.startswith("--local")]
    assert words == ["a config.py", *checkpoint, "--launcher", "pytorch", *rest]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("dist_train", 1), ("dist_test", 2), ("slurm_train", 3), ("slurm_test", 3)],
)
def test_missing_arguments_are_told(name, arguments):
    command = ["bash", str(ROOT / f"tools/{name}.sh"), *["x"] * arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: expected {name}.sh ")
    assert done.stderr.endswith(f"but got {arguments} arguments\n")


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
def test_workers_die_with_the_killed_process_that_started_the_script(
    scripts, tmp_path, command_environment
):
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    command += ["bash", str(scripts / "dist_train.sh"), "a.py", "2"]
    environment = environment_of(command_environment, tmp_path, 600)
    parent = subprocess.Popen(command, env=environment)
    while not all((tmp_path / f"words{rank}").exists() for rank in range(2)):
        assert parent.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    for rank in range(2):
        with (tmp_path / f"lock{rank}").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # comes back once the worker is gone; else times out
