import argparse
import concurrent.futures
import csv
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from mmengine.config import Config
from optuna.trial import TrialState
from postgres_server import postgres_server

from mmglan.commands import run_table, sweep
from mmglan.experiments.run_directory import is_held
from mmglan.experiments.weight_search import baselines, read_best, stages, weight_names

ROOT = Path(__file__).resolve().parents[2]
AXIS = "model.rpn_head.loss_cls.loss_weight"


def test_axis_reads_numbers_and_words():
    assert sweep.parse_axis("a.b=1,0.5,SGD,None") == ("a.b", [1, 0.5, "SGD", None])
    for text in ("a.b", "=1", "a="):
        with pytest.raises(argparse.ArgumentTypeError, match="expected SETTING=VALUE"):
            sweep.parse_axis(text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--grid", "a=1,3,1"], "expected each value once but got 'a=1,3,1'"),
        (
            ["--grid", "a=1", "--grid", "a=3"],
            "expected one --grid per setting but got several of a",
        ),
        (["--grid", "a=1", "--heartbeat", "0"], "expected a whole number of at least 1 but got 0"),
    ],
)
def test_wrong_arguments_are_told(capsys, words, told):
    with pytest.raises(SystemExit):
        sweep.parse_args([str(ROOT / "configs/baselines/yolov3_d53_160e_lesions.py"), *words])
    assert told in capsys.readouterr().err


def test_a_small_config_follows_the_options(tmp_path, monkeypatch):
    seen = []

    def search(args, *_):
        seen.append(Config.fromfile(args.config).train_cfg.max_epochs)
        return [{"state": "COMPLETE", "score": 1.0}]

    monkeypatch.setattr(sweep, "search", search)
    words = ["yolov3_d53_160e_lesions", "--grid", "a=1", "--small", "--work-dir", str(tmp_path)]
    for epochs in ("2", "3"):
        assert sweep.main([*words, "--epochs", epochs]) == 0
    assert seen == [2, 3]


def test_missing_config_is_told(capsys, tmp_path):
    assert sweep.main(["none.py", "--grid", "a=1", "--work-dir", str(tmp_path / "w")]) == 2
    assert capsys.readouterr().err.startswith("error: none.py: Expected a config")
    assert not (tmp_path / "w").exists()


def test_storage_and_directory_that_cannot_be_opened_are_told(capsys, tmp_path):
    command = [str(ROOT / "configs/baselines/yolov3_d53_160e_lesions.py"), "--grid", "a=1"]
    (tmp_path / "file").touch()
    assert sweep.main([*command, "--work-dir", str(tmp_path / "file/w")]) == 2
    assert "Expected to open sqlite:///" in capsys.readouterr().err
    command += ["--work-dir", str(tmp_path / "w")]
    assert sweep.main([*command, "--storage", "nonsense://me:secret@host/db"]) == 2
    told = capsys.readouterr().err
    assert "Expected to open nonsense://me:***@host/db but got" in told and "secret" not in told


def test_list_names_every_loss_weight(capsys):
    assert sweep.main([str(ROOT / "configs/baselines/yolov3_d53_160e_lesions.py"), "--list"]) == 0
    assert capsys.readouterr().out.split() == [
        "model.bbox_head.loss_cls.loss_weight=1.0",
        "model.bbox_head.loss_conf.loss_weight=1.0",
        "model.bbox_head.loss_xy.loss_weight=2.0",
        "model.bbox_head.loss_wh.loss_weight=2.0",
    ]


def test_directories_of_points_differ_and_are_readable():
    name = sweep.run_directory(Path("w"), {AXIS: 3, "optim_wrapper.optimizer.type": "SGD"})
    assert name == Path("w/rpn_head.loss_cls.loss_weight=3_optim_wrapper.optimizer.type=SGD")
    other = AXIS.replace("rpn_head", "roi_head.bbox_head")
    assert sweep.run_directory(Path("w"), {AXIS: 3}) != sweep.run_directory(Path("w"), {other: 3})


def test_stages_of_a_cascade_share_a_weight(tmp_path, monkeypatch, capsys):
    name = "model.roi_head.bbox_head.*.loss_cls.loss_weight"
    config = str(ROOT / "configs/baselines/cascade-mask-rcnn_r50_fpn_160e_lesions.py")
    started = []

    def run(command, log, watch):
        started.append(command[command.index("--cfg-options") + 1 :])
        return True

    monkeypatch.setattr(sweep, "run_command", run)
    monkeypatch.setattr(sweep, "validation_scores", lambda run_dir, metric: {5: 0.5})
    command = [config, "--work-dir", str(tmp_path), "--grid"]
    assert sweep.main([*command, f"{name}=3"]) == 0
    assert started == [[f"{name.replace('*', str(stage))}=3" for stage in range(3)]]
    assert "roi_head.bbox_head.all.loss_cls.loss_weight=3" in capsys.readouterr().out
    assert sweep.main([*command, "model.*.loss_clss.loss_weight=3"]) == 2
    assert "Expected loss weights that fit model.*.loss_clss" in capsys.readouterr().err


def test_baseline_is_searched_weight_by_weight_and_its_best_point_is_taken(
    tmp_path, monkeypatch, capsys
):
    """RPN cls is best at 7, the mask at 3; 5 weights of 5 values are 21 runs, not 3125."""
    name = "mask-rcnn_r50_fpn_160e_lesions"
    wanted = {"model.rpn_head.loss_cls": 7, "model.roi_head.mask_head.loss_mask": 3}
    seen = {}

    def run(command, log, watch):
        options = command[command.index("--cfg-options") + 1 :]
        seen[log.parent.name] = {k: float(v) for k, v in (option.split("=") for option in options)}
        return True

    def scores(run_dir, metric):
        point = seen[run_dir.name]
        far = sum(abs(point[f"{k}.loss_weight"] - wanted.get(k, 1)) for k in ALL_WEIGHTS)
        return {5: 1 - far / 100}

    monkeypatch.setattr(sweep, "run_command", run)
    monkeypatch.setattr(sweep, "validation_scores", scores)
    call = ["--baseline", "mask-rcnn", "--work-dir", str(tmp_path / "sweeps" / name)]
    assert sweep.main(call) == 0
    assert len(seen) == 5 * 5 - 4
    best = {f"{k}.loss_weight": wanted.get(k, 1) for k in ALL_WEIGHTS}
    assert read_best(tmp_path / "sweeps" / name) == best
    with (tmp_path / "sweeps" / name / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 21 and float(rows[0]["score"]) == 1.0
    capsys.readouterr()
    call = ["--rows", name, "--how", "print", "--weights", "best"]
    assert run_table.main([*call, "--sweeps", str(tmp_path / "sweeps")]) == 0
    told = capsys.readouterr().out
    assert "--cfg-options" in told and "model.rpn_head.loss_cls.loss_weight=7" in told
    assert run_table.main([*call, "--sweeps", str(tmp_path / "none")]) == 0
    assert "sweep --baseline mask-rcnn --work-dir" in capsys.readouterr().out


ALL_WEIGHTS = [
    "model.rpn_head.loss_cls",
    "model.rpn_head.loss_bbox",
    "model.roi_head.bbox_head.loss_cls",
    "model.roi_head.bbox_head.loss_bbox",
    "model.roi_head.mask_head.loss_mask",
]


def test_grids_of_a_baseline():
    assert sorted(baselines()) == [
        "cascade-mask-rcnn",
        "detectors",
        "faster-rcnn",
        "mask-rcnn",
        "vfnet",
        "yolov3",
    ]
    model = Config.fromfile(baselines()["cascade-mask-rcnn"]).model
    names = weight_names(model)
    assert "model.roi_head.bbox_head.*.loss_cls.loss_weight" in names and len(names) == 5
    assert list(stages(["a", "b"], {}, True)) == [{"a": [1, 3, 5, 7, 9], "b": [1, 3, 5, 7, 9]}]


@pytest.mark.parametrize(
    "words",
    [
        ["--baseline", "mask-rcnn", "--grid", "a=1"],
        ["a.py", "--baseline", "mask-rcnn"],
        ["a.py", "--grid", "a=1", "--full-grid"],
        ["--baseline", "mask-rcnn", "--epochs", "2"],
    ],
)
def test_options_of_a_baseline_that_do_not_fit_are_refused(words):
    with pytest.raises(SystemExit):
        sweep.parse_args(words)


def test_point_is_scored_by_its_best_validation(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "run_command", lambda command, log, watch: True)
    scores = {5: 0.25, 10: 0.75, 15: float("nan"), 20: 0.5}
    monkeypatch.setattr(sweep, "validation_scores", lambda run_dir, metric: scores)
    config = str(ROOT / "configs/baselines/yolov3_d53_160e_lesions.py")
    assert sweep.main([config, "--work-dir", str(tmp_path), "--grid", "learning_rate=0.1"]) == 0
    (row,) = csv.DictReader((tmp_path / "results.csv").open())
    assert (float(row["score"]), row["state"]) == (0.75, "COMPLETE")


def test_point_without_a_score_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "validation_scores", lambda run_dir, metric: {5: float("nan")})
    with pytest.raises(RuntimeError, match=r"Expected lesion/bbox_AP25 .* but got none"):
        sweep.best_score(tmp_path, "lesion/bbox_AP25")


def test_state_of_a_point_is_that_of_its_last_run_that_did_not_fail(tmp_path):
    study = optuna.create_study(direction="maximize")
    axis = {AXIS: optuna.distributions.CategoricalDistribution([1, 3])}
    for state, value, score in (("COMPLETE", 1, 0.5), ("FAIL", 1, None), ("FAIL", 3, None)):
        study.add_trial(
            optuna.create_trial(
                state=TrialState[state], params={AXIS: value}, distributions=axis, value=score
            )
        )
    rows = sweep.result_rows(study, {AXIS: [1, 3, 5]}, tmp_path)
    found = [(row[AXIS], row["state"], row["score"], row["runs"]) for row in rows]
    assert found == [(1, "COMPLETE", 0.5, 2), (3, "FAIL", None, 1), (5, "MISSING", None, 0)]


def test_directories_of_large_grids_fit_a_file_system_and_differ():
    axes = [f"model.roi_head.bbox_head.{i}.loss_cls.loss_weight" for i in range(6)]
    points = [dict.fromkeys(axes, 1), dict.fromkeys(axes, 1) | {axes[-1]: 3}]
    names = {sweep.run_directory(Path("w"), point).name for point in points}
    assert len(names) == 2 and all(len(name) <= 200 for name in names)


def test_without_a_grid_there_is_nothing_to_do(capsys):
    assert sweep.main([str(ROOT / "configs/baselines/yolov3_d53_160e_lesions.py")]) == 2
    assert "Expected at least one --grid" in capsys.readouterr().err


def test_points_are_trained_once_and_tabled(tiny_config, tmp_path, capsys):
    work_dir = tmp_path / "sweep"
    command = [str(tiny_config), "--work-dir", str(work_dir), "--grid", f"{AXIS}=1,9"]
    command += ["--cfg-options", "train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    assert sweep.main(command) == 0
    rows = list(csv.DictReader((work_dir / "results.csv").open()))
    assert sorted(row[AXIS] for row in rows) == ["1", "9"]
    assert {row["state"] for row in rows} == {"COMPLETE"}
    assert all(0 <= float(row["score"]) <= 1 and row["runs"] == "1" for row in rows)
    dumped = work_dir / "rpn_head.loss_cls.loss_weight=9" / tiny_config.name
    assert "loss_weight=9" in dumped.read_text()

    logs = {path: path.stat().st_mtime_ns for path in work_dir.glob("*/train.log")}
    assert sweep.main(command) == 0
    assert logs == {path: path.stat().st_mtime_ns for path in work_dir.glob("*/train.log")}
    capsys.readouterr()
    assert sweep.main([*command[:4], f"{AXIS}=1,3"]) == 2
    assert "Expected the grid that study" in capsys.readouterr().err
    assert sweep.main([*command[:5], "--metric", "lesion/bbox_AP50"]) == 2
    assert "Expected the metric that study" in capsys.readouterr().err


@pytest.mark.slow
def test_two_workers_on_a_server_one_of_them_killed(tiny_config, tmp_path, command_environment):
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[sweep-server]'")
    work_dir = tmp_path / "sweep"
    command = [sys.executable, "-m", "mmglan", "sweep", str(tiny_config)]
    command += ["--work-dir", str(work_dir), "--heartbeat", "5", "--grid", f"{AXIS}=1,9"]
    options = ["--cfg-options", "train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    with postgres_server() as storage:
        command += ["--storage", storage, *options]
        victim = subprocess.Popen(command, env=command_environment)
        while not list(work_dir.glob("*/train.log")):
            assert victim.poll() is None
            time.sleep(0.2)
        time.sleep(6)  # a heartbeat
        other = subprocess.Popen(command, env=command_environment)
        victim.kill()
        victim.wait()
        assert other.wait(timeout=500) == 0
    rows = list(csv.DictReader((work_dir / "results.csv").open()))
    assert sorted((row[AXIS], row["state"]) for row in rows) == [
        ("1", "COMPLETE"),
        ("9", "COMPLETE"),
    ]
    assert sorted(row["runs"] for row in rows) == ["1", "2"]


def test_failing_point_gives_a_failing_status(tiny_config, tmp_path):
    command = [str(tiny_config), "--work-dir", str(tmp_path), "--grid", "model.type=NoSuchModel"]
    assert sweep.main(command) == 1
    (row,) = csv.DictReader((tmp_path / "results.csv").open())
    assert (row["state"], row["score"]) == ("FAIL", "")


class NeverBetter(optuna.pruners.BasePruner):
    """Stops a trial at its first result; counts how often it had one to look at."""

    looks = 0

    def prune(self, study, trial):
        self.looks += bool(trial.intermediate_values)
        return bool(trial.intermediate_values)


def test_hopeless_point_is_stopped_early(tiny_config, tmp_path):
    pruner = NeverBetter()
    study = optuna.create_study(pruner=pruner, direction="maximize")
    args = sweep.parse_args([str(tiny_config), "--prune", "--work-dir", str(tmp_path)])
    args.settings = {AXIS: [AXIS]}
    args.cfg_options = ["train_cfg.max_epochs=1000", "train_cfg.val_interval=1"]
    trial = study.ask()
    with pytest.raises(optuna.TrialPruned):
        sweep.train_point(args, trial, {AXIS: 1}, tmp_path / "run")
    assert pruner.looks == 1 and 1 in study.trials[0].intermediate_values
    assert not (tmp_path / "run/epoch_100.pth").exists()


HOLDER = """
import signal, sys, time
from pathlib import Path
from mmglan.experiments.run_directory import hold
hold(Path(sys.argv[sys.argv.index("--work-dir") + 1]))
print("holds", flush=True)
time.sleep(600)
"""


def test_training_of_a_point_that_was_taken_over_is_stopped(tmp_path, monkeypatch):
    """A worker that was stopped goes on beside its successor, who waits until it lets go."""
    (tmp_path / "train.py").write_text(HOLDER)
    monkeypatch.setattr(sweep, "TRAIN", tmp_path / "train.py")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    study, run_dir = optuna.create_study(direction="maximize"), tmp_path / "run"
    args = sweep.parse_args([str(tmp_path / "train.py"), "--work-dir", str(tmp_path)])
    args.settings = {AXIS: [AXIS]}
    trials = [study.ask()]

    def first_worker():
        with pytest.raises(optuna.TrialPruned):
            sweep.train_point(args, trials[0], {AXIS: 1}, run_dir)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(first_worker)
        while not is_held(run_dir):
            assert not first.done()
            time.sleep(0.05)
        study.tell(trials[0], state=TrialState.FAIL)
        trials.append(study.ask())
        waits = pool.submit(sweep.wait_until_free, run_dir, lambda: False, 0.05)
        first.result(timeout=60)
        waits.result(timeout=60)
    assert not is_held(run_dir)


def test_worker_that_waits_for_a_directory_notices_that_it_lost_the_point(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sweep, "is_held", lambda run_dir: True)
    monkeypatch.setattr(sweep, "holder_name", lambda run_dir: "process 7 on node3")
    lost = iter([False, False, True])
    with pytest.raises(optuna.TrialPruned):
        sweep.wait_until_free(tmp_path, lambda: next(lost), 0.01)
    out = capsys.readouterr().out
    assert out.count("waiting for process 7 on node3") == 1 and ".training.lock" in out
