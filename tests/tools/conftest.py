"""A tiny prepared data set and what the tools need to run on it as commands."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config

from data_prep import prepare
from data_prep.phantoms import abdomen
from mmglan.evaluation.evaluation_record import read_evaluation
from mmglan.experiments.mmdet_tools import tool_path
from mmglan.experiments.shrink import shrink

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory) -> Path:
    """Prepared phantoms of 64 x 64 pixels; half of the training slices hold no lesion."""
    folder = tmp_path_factory.mktemp("tiny_set")
    bookmarks = abdomen.write_dataset(
        folder / "raw", 5, n_nodes=3, n_empty=2, shape=(8, 64, 64), spacing_mm=(5.0, 5.0, 5.0)
    )
    status = prepare.main(
        ["--images", str(folder / "raw/images"), "--bookmarks", str(bookmarks)]
        + ["--masks", str(folder / "raw/masks"), "--out-dir", str(folder / "data")]
        + ["--keep-empty", "all", "--max-empty", "2", "--split", "0.5,0.25,0.25"]
        + ["--overlays", "0", "--quiet"]
    )
    assert status == 0
    return folder / "data"


@pytest.fixture(scope="session")
def tiny_config(tiny_set, tmp_path_factory) -> Path:
    """The main config in its tiny form, as a file; three epochs, tested at the end."""
    stem = "glan_r50_fpn_160e_lesions"
    cfg = shrink(Config.fromfile(ROOT / "configs/glan" / f"{stem}.py"), tiny_set)
    cfg.max_epochs = 3
    cfg.train_cfg.update(max_epochs=3, val_interval=3)
    cfg.default_hooks.logger.interval = 1
    path = tmp_path_factory.mktemp("config") / f"{stem}.py"
    cfg.dump(path)
    return path


@pytest.fixture(scope="session")
def command_environment() -> dict[str, str]:
    """Environment in which the tools find this source tree and this Python."""
    folder = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([folder, os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",  # equality bit for bit is promised for CPUs
    }


@pytest.fixture(scope="session")
def free_port() -> Callable[[], str]:
    """Finds a port for a launcher; another one at each call."""

    def find() -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return str(probe.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def trained(tiny_config, tmp_path_factory, command_environment) -> Path:
    """Run directory of an undisturbed training by mmdet's own script; its name has a space."""
    run_dir = tmp_path_factory.mktemp("undisturbed") / "run, 1"
    command = [sys.executable, str(tool_path("train.py")), str(tiny_config)]
    command += ["--work-dir", str(run_dir)]
    done = subprocess.run(command, env=command_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return run_dir


@pytest.fixture(scope="session")
def tested(trained, tiny_config, command_environment) -> dict[str, float]:
    """Metrics of one process; `results.pkl` holds the predictions."""
    command = [sys.executable, str(ROOT / "tools/test.py"), str(tiny_config)]
    command += [str(trained / "epoch_3.pth"), "--work-dir", str(trained)]
    command += ["--out", str(trained / "results.pkl")]
    done = subprocess.run(command, env=command_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return read_evaluation(trained / "results.metrics.json").by_name()
