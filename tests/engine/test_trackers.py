"""The trackers that configs/_base_/default_runtime.py offers, offline, as its lines have them."""

import re
from itertools import count
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.visualization import Visualizer

CONFIG = Path(__file__).resolve().parents[2] / "configs/_base_/default_runtime.py"
_names = count()


def offered(kind):
    """The commented line of a tracker, as a config has it once the mark is taken away."""
    (line,) = re.findall(rf"# (dict\(type='{kind}'.*\)),\n", CONFIG.read_text())
    return Config.fromstring(f"backend = {line}", ".py").backend


def log(kind, folder):
    visualizer = Visualizer(
        name=f"tracker{next(_names)}", vis_backends=[offered(kind)], save_dir=str(folder)
    )
    cfg = Config.fromfile(CONFIG, import_custom_modules=False)
    cfg.work_dir = str(folder / "run")
    (folder / "run").mkdir()
    visualizer.add_config(cfg)
    visualizer.add_scalars({"loss": 0.5, "sigma_mask": 1.25, "lesion/bbox_AP25": 0.75}, step=3)
    visualizer.close()


def test_mlflow(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    log("MLflowVisBackend", tmp_path)
    metrics = [path for path in tmp_path.rglob("sigma_mask") if path.parent.name == "metrics"]
    assert [path.read_text().split()[1:] for path in metrics] == [["1.25", "3"]]


def test_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    log("WandbVisBackend", tmp_path)
    (run,) = tmp_path.rglob("run-*.wandb")
    assert run.stat().st_size > 0 and run.parent.name.startswith("offline-run")
