"""tools/train.py, test.py and their distributed forms, as commands on a tiny data set."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmglan.evaluation.evaluation_record import read_evaluation
from mmglan.experiments.child_run import validation_scores
from mmglan.experiments.mmdet_tools import tool_path

ROOT = Path(__file__).resolve().parents[2]
TRAIN, TEST = ROOT / "tools/train.py", ROOT / "tools/test.py"


def weights(run_dir: Path, epoch: int = 3) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / f"epoch_{epoch}.pth", weights_only=False)["state_dict"]


def test_run_directory_says_what_the_run_was(trained, tiny_set):
    info = json.loads((trained / "run_info.json").read_text())
    assert (info["seed"], info["processes"], info["resumed_from_epoch"]) == (0, 1, 0)
    assert info["environment"]["packages"]["torch"] == torch.__version__
    assert len(info["dataset_sha256"]) == 64
    assert info["annotation_file"] == str(tiny_set / "annotations/train.json")
    assert info["command"][0] == "train.py"
    assert (trained / "glan_r50_fpn_160e_lesions.py").exists()


@pytest.fixture
def killed_then_resumed(tiny_config, tmp_path, command_environment):
    """Trains until a hook kills the run, then resumes; gives the run directory."""

    def run(between, config=tiny_config, **hook) -> Path:
        killing = tmp_path / "config" / config.name
        killing.parent.mkdir()
        hook = {"type": "SelfKillingHook", **hook}
        killing.write_text(
            f"_base_ = {str(config)!r}\n"
            "imports = [*_base_.custom_imports.imports, 'self_killing_hook']\n"
            "custom_imports = dict(imports=imports)\n"
            f"custom_hooks = [{hook}]\n"
        )
        scripts = str(Path(__file__).with_name("scripts"))
        paths = os.pathsep.join([scripts, command_environment["PYTHONPATH"]])

        def train(config, run_dir, **variables):
            command = [sys.executable, str(TRAIN), str(config), "--work-dir", str(run_dir)]
            command += ["--resume"]  # from the first start on: nothing to resume yet
            environment = {**command_environment, **variables}
            return subprocess.run(command, env=environment, capture_output=True, text=True)

        first = train(killing, tmp_path / "run", PYTHONPATH=paths)
        assert first.returncode == -signal.SIGKILL, first.stderr[-2000:]
        run_dir = between(tmp_path / "run")
        done = train(config, run_dir)
        assert done.returncode == 0, done.stderr[-2000:]
        return run_dir

    return run


def differing(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> list[str]:
    assert expected.keys() == found.keys()
    return [key for key in expected if not torch.equal(expected[key], found[key])]


def test_killed_and_resumed_run_ends_with_the_same_weights(trained, killed_then_resumed):
    def in_mid_epoch(run_dir):
        assert (run_dir / "epoch_1.pth").exists() and not (run_dir / "epoch_2.pth").exists()
        assert "Epoch(train) [2][1/" in next(run_dir.glob("*/*.log")).read_text()
        return run_dir

    run_dir = killed_then_resumed(in_mid_epoch, iterations=6)
    assert json.loads((run_dir / "run_info.json").read_text())["resumed_from_epoch"] == 1
    expected, found = weights(trained), weights(run_dir)
    assert differing(expected, found) == []
    start = torch.zeros_like(expected["uncertainty.log_variance"])
    assert not torch.equal(found["uncertainty.log_variance"], start)


ITERATIONS = """
sampler = dict(_delete_=True, type="InfiniteSampler", shuffle=True)
train_dataloader = dict(sampler=sampler)
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=9, val_interval=6)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3))
log_processor = dict(by_epoch=False)
"""


@pytest.mark.slow
def test_a_loop_without_epochs_resumes_to_the_same_weights(
    tiny_config, tmp_path, killed_then_resumed, command_environment
):
    config = tmp_path / "iterations.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\n{ITERATIONS}")
    command = [sys.executable, str(TRAIN), str(config), "--work-dir", str(tmp_path / "whole")]
    done = subprocess.run(command, env=command_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]

    def after_first_checkpoint(run_dir):
        assert (run_dir / "iter_3.pth").exists() and not (run_dir / "iter_6.pth").exists()
        return run_dir

    run_dir = killed_then_resumed(after_first_checkpoint, config, iterations=5)
    info = json.loads((run_dir / "run_info.json").read_text())
    assert info["resumed_from_iteration"] == 3
    expected, found = (
        torch.load(folder / "iter_9.pth", weights_only=False)["state_dict"]
        for folder in (tmp_path / "whole", run_dir)
    )
    assert differing(expected, found) == []
    scores = [
        validation_scores(folder, "lesion/bbox_AP25") for folder in (tmp_path / "whole", run_dir)
    ]
    assert scores[0] == scores[1] != {}


def test_run_killed_while_validating_and_moved_ends_with_the_same_best_checkpoint(
    trained, killed_then_resumed
):
    def moved(run_dir):
        assert (run_dir / "epoch_3.pth").exists() and not list(run_dir.glob("best_*"))
        return run_dir.rename(run_dir.with_name("moved"))

    run_dir = killed_then_resumed(moved, validating=True)
    (best,) = trained.glob("best_*.pth")
    expected, found = (torch.load(f / best.name, weights_only=False) for f in (trained, run_dir))
    assert differing(expected["state_dict"], found["state_dict"]) == []
    scores = [validation_scores(f, "lesion/bbox_AP25") for f in (trained, run_dir)]
    assert scores[0] == scores[1] != {}


def test_test_leaves_results_where_reports_look(trained, tested):
    assert {"bbox_AP25", "segm_SEN50"} <= tested.keys()
    assert json.loads((trained / "results.bbox.json").read_text())
    assert (trained / "results.segm.json").exists()
    assert json.loads((trained / "test_info.json").read_text())["processes"] == 1


def test_two_processes_train_and_test(
    trained, tested, tiny_config, tmp_path, command_environment, free_port
):
    options = ["--cfg-options", "train_dataloader.dataset.filter_cfg.filter_empty_gt=False"]
    options += ["batch_size=1", "max_epochs=1", "seed=3"]
    environment = {**command_environment, "PORT": free_port()}
    command = ["bash", str(ROOT / "tools/dist_train.sh"), str(tiny_config), "2"]
    done = subprocess.run(
        [*command, "--work-dir", str(tmp_path / "train"), "--auto-scale-lr", *options],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    info = json.loads((tmp_path / "train/run_info.json").read_text())
    assert (info["processes"], info["batch_size_per_process"], info["seed"]) == (2, 1, 3)
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "train", 1).values())
    (log,) = (tmp_path / "train").glob("*/*.log")
    assert "Scaling the original LR by 0.5." in log.read_text()  # 2 images per step, not 4

    # One checkpoint tested by two processes gives the metrics of one process, digit by digit.
    environment["PORT"] = free_port()
    command = ["bash", str(ROOT / "tools/dist_test.sh"), str(tiny_config)]
    command += [str(trained / "epoch_3.pth"), "2", "--work-dir", str(tmp_path / "test")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "test/test_info.json").read_text())["processes"] == 2
    found = read_evaluation(tmp_path / "test/results.metrics.json").by_name()
    assert found == tested


@pytest.mark.parametrize(
    "script", [TEST, tool_path("train.py")], ids=["test", "MMDetection's train"]
)
def test_misspelt_option_is_refused(script, trained, tiny_config, tmp_path, command_environment):
    checkpoint = [str(trained / "epoch_3.pth")] if script == TEST else []
    command = [sys.executable, str(script), str(tiny_config), *checkpoint]
    command += ["--work-dir", str(tmp_path), "--cfg-options", "max_epoch=1"]
    done = subprocess.run(command, env=command_environment, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.endswith("an unknown name. Did you mean max_epochs?")
    assert last.startswith("error: --cfg-options max_epoch:") == (script == TEST)
    assert done.returncode == (2 if script == TEST else 1)
    assert not list(tmp_path.glob("**/*.pth"))


def test_slurm_script_would_start_our_train_script(tmp_path, command_environment):
    # A stand-in for srun that prints its arguments: the dry run of a machine without Slurm.
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {**command_environment, "GPUS": "16", "GPUS_PER_NODE": "8"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    command = ["bash", "tools/slurm_train.sh", "part", "job", "config.py", "work", "--amp"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[:2] == ["-p", "part"] and "--ntasks=16" in words
    script = words.index("tools/train.py")
    assert words[script + 1 : script + 3] == ["config.py", "--work-dir=work"]
    assert words[script + 3 :] == ["--launcher=slurm", "--amp"]
