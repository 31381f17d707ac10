"""Workers that share a grid do every point once, even where one of them is killed."""

import collections
import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from mmglan.experiments.grid import (
    DeadTrials,
    grid_points,
    is_taken_over,
    key_of,
    open_study,
    queue_missing,
    work_through,
)

ROOT = Path(__file__).resolve().parents[2]
AXES = {"a": [1, 3, 5], "b": ["x", "y"]}
WORKER = """
import os, sys, time
from pathlib import Path
from mmglan.experiments.grid import open_study, work_through

AXES = {"a": [1, 3, 5], "b": ["x", "y"]}
folder, hang = Path(sys.argv[1]), sys.argv[2] == "hang"

def run_point(trial, point):
    name = f"{point['a']}{point['b']}"
    with (folder / "started.txt").open("a") as file:
        file.write(f"{name} {os.getpid()}\\n")
    if hang:
        time.sleep(600)
    time.sleep(0.2)
    return point["a"] + 0.5 * (point["b"] == "y")

study = open_study(f"sqlite:///{folder}/grid.db", "grid", heartbeat_s=2)
work_through(study, AXES, run_point, poll_s=0.3)
"""


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def completed(study: optuna.Study) -> collections.Counter:
    done = study.get_trials(states=(TrialState.COMPLETE,))
    return collections.Counter(trial.user_attrs["point"] for trial in done)


def test_all_combinations_last_axis_fastest():
    assert grid_points({"a": [1, 2], "b": ["x", "y"]}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_point_of_a_killed_worker_is_done_by_another(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(mode):
        command = [sys.executable, "-W", "ignore", "-c", WORKER, str(tmp_path), mode]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    victim = start("hang")
    started, deadline = tmp_path / "started.txt", time.monotonic() + 120
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    others = [start("work"), start("work")]
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    for other in others:
        _, errors = other.communicate(timeout=200)
        assert other.returncode == 0, errors[-2000:]

    study = open_study(f"sqlite:///{tmp_path}/grid.db", "grid", heartbeat_s=2)
    assert completed(study) == {key_of(point): 1 for point in grid_points(AXES)}
    lost = started.read_text().splitlines()[0].split()
    runs = [line.split() for line in started.read_text().splitlines()]
    assert lost[1] == str(victim.pid)
    assert [name for name, _ in runs].count(lost[0]) == 2
    assert len(runs) == 7  # six points, one of them begun twice
    assert study.best_params == {"a": 5, "b": "y"}


def test_workers_that_make_the_tables_at_the_same_moment(tmp_path, monkeypatch):
    """Every worker finds no tables, waits for the others to find none either, and makes them."""
    meeting = threading.Barrier(3)
    make = sqlalchemy.MetaData.create_all
    met = threading.local()

    def together(self, *args, **options):
        if not getattr(met, "already", False):
            met.already = True
            meeting.wait(timeout=60)
        return make(self, *args, **options)

    monkeypatch.setattr(sqlalchemy.MetaData, "create_all", together)

    def work(_):
        return open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        studies = list(pool.map(work, range(3)))
    studies[0].enqueue_trial({"a": 1})
    assert [len(study.trials) for study in studies] == [1, 1, 1]


def test_database_that_cannot_be_opened_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(sqlalchemy.exc.OperationalError, match="unable to open"):
        open_study(f"sqlite:///{tmp_path}/missing/g.db", "g", heartbeat_s=60)


def test_trial_is_claimed_by_one_worker_only(tmp_path, monkeypatch):
    studies = [open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60) for _ in range(2)]
    assert queue_missing(studies[0], grid_points({"a": [1, 2]}), retry_failed=False) == 2
    between = optuna.storages.RDBStorage.check_trial_is_updatable

    def slowly(self, *args):  # called after the state was read and before it is written
        time.sleep(0.5)
        return between(self, *args)

    monkeypatch.setattr(optuna.storages.RDBStorage, "check_trial_is_updatable", slowly)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        claimed = list(pool.map(lambda study: study.ask().number, studies))
    assert sorted(claimed) == [0, 1]


def test_point_of_a_worker_killed_before_its_first_heartbeat_is_done_by_another(tmp_path):
    address = f"sqlite:///{tmp_path}/g.db"
    killed = open_study(address, "g", heartbeat_s=1)
    assert queue_missing(killed, [{"a": 1}], retry_failed=False) == 1
    assert killed.ask().number == 0  # taken, and never a sign of life
    runs = []
    study = open_study(address, "g", heartbeat_s=1)
    work_through(study, {"a": [1]}, lambda trial, p: runs.append(trial.number) or 1.0, poll_s=0.1)
    assert runs == [1]
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_trial_without_a_heartbeat_is_given_the_grace_period(tmp_path, monkeypatch):
    study = open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60)
    study.ask(), study.ask()
    study._storage.record_heartbeat(study.trials[1]._trial_id)
    now = [1000.0]
    monkeypatch.setattr("mmglan.experiments.grid.time.monotonic", lambda: now[0])
    dead = DeadTrials(study)
    for now[0], state in ((1000, "RUNNING"), (1180, "RUNNING"), (1181, "FAIL"), (1400, "FAIL")):
        dead.close()
        assert [trial.state.name for trial in study.trials] == [state, "RUNNING"]


def test_failed_point_whose_second_run_was_killed_is_run_again(tmp_path):
    study = open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60)
    queue_missing(study, [{"a": 1}], retry_failed=False)
    trial = study.ask()
    trial.set_user_attr("error", "no memory")
    study.tell(trial, state=TrialState.FAIL)
    assert queue_missing(study, [{"a": 1}], retry_failed=False) == 0
    assert queue_missing(study, [{"a": 1}], retry_failed=True) == 1
    study.tell(study.ask(), state=TrialState.FAIL)  # as other workers close that of a dead one
    assert queue_missing(study, [{"a": 1}], retry_failed=False) == 1


def test_second_copy_of_a_point_is_closed_as_surplus(tmp_path):
    study = open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60)
    point = {"a": 1}
    for _ in range(2):  # as two workers do at the same moment
        study.enqueue_trial(point, user_attrs={"point": key_of(point)})
    runs = []
    work_through(study, {"a": [1, 2]}, lambda trial, p: runs.append(p) or 1.0, poll_s=0.1)
    assert runs == [{"a": 1}, {"a": 2}]
    assert set(completed(study).values()) == {1}
    assert [t.user_attrs.get("surplus") for t in study.trials] == [None, True, None]


def test_failed_point_is_told_and_run_again_on_demand_only(tmp_path):
    study = open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60)
    broken, runs = [True], []

    def run_point(trial, point):
        runs.append(point["a"])
        if point["a"] == 2 and broken[0]:
            raise RuntimeError("no memory")
        return float(point["a"])

    work_through(study, {"a": [1, 2]}, run_point, poll_s=0.1)
    assert runs == [1, 2]
    assert [t.user_attrs.get("error") for t in study.trials] == [None, "no memory"]
    work_through(study, {"a": [1, 2]}, run_point, poll_s=0.1)
    assert runs == [1, 2]
    broken[0] = False
    work_through(study, {"a": [1, 2]}, run_point, poll_s=0.1, retry_failed=True)
    assert runs == [1, 2, 2]
    assert sum(completed(study).values()) == 2
    assert queue_missing(study, grid_points({"a": [1, 2]}), retry_failed=True) == 0


def test_pruned_point_counts_as_done(tmp_path):
    study = open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60)

    def run_point(trial, point):
        raise optuna.TrialPruned

    work_through(study, {"a": [1]}, run_point, poll_s=0.1)
    assert queue_missing(study, [{"a": 1}], retry_failed=True) == 0
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED]


def close_as_dead(address: str, number: int) -> None:
    """Do what other workers do with the trial of one that was silent for too long."""
    other = open_study(address, "g", heartbeat_s=60)
    other.tell(number, state=TrialState.FAIL)


@pytest.mark.parametrize("ends", ["score", "error", "pruned"])
def test_worker_whose_point_was_taken_over_goes_on_with_the_others(tmp_path, capsys, ends):
    address = f"sqlite:///{tmp_path}/g.db"
    study, runs = open_study(address, "g", heartbeat_s=60), []

    def run_point(trial, point):
        runs.append(point["a"])
        if len(runs) == 1:
            assert not is_taken_over(study, trial.number)
            close_as_dead(address, trial.number)
            assert is_taken_over(study, trial.number)
            if ends == "error":
                raise RuntimeError("stopped")
            if ends == "pruned":
                raise optuna.TrialPruned
        return float(point["a"])

    work_through(study, {"a": [1, 2]}, run_point, poll_s=0.1)
    assert sorted(runs) == [1, 1, 2]  # nobody else is there to take it
    assert completed(study) == {key_of({"a": 1}): 1, key_of({"a": 2}): 1}
    assert "Trial 0 was taken over by another worker" in capsys.readouterr().err


def test_trial_counts_as_ours_while_the_database_does_not_answer(tmp_path, monkeypatch):
    study = open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60)
    trial = study.ask()

    def refuse(*args, **options):
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("no connection"))

    monkeypatch.setattr(study, "get_trials", refuse)
    assert not is_taken_over(study, trial.number)


def test_score_that_is_no_number_closes_the_point_as_failed(tmp_path):
    study, runs = open_study(f"sqlite:///{tmp_path}/g.db", "g", heartbeat_s=60), []

    def run_point(trial, point):
        runs.append(point)
        assert len(runs) < 3  # it would be run for ever
        return float("nan")

    work_through(study, {"a": [1]}, run_point, poll_s=0.1)
    (trial,) = study.trials
    assert trial.state == TrialState.FAIL and "got nan" in trial.user_attrs["error"]
