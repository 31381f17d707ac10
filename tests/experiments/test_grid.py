"""Workers that share a grid do every point, even where one of them is killed."""

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
from postgres_server import postgres_server

from mmglan.experiments import grid
from mmglan.experiments.grid import (
    grid_points,
    is_taken_over,
    key_of,
    open_study,
    queue_again,
    trials_by_point,
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
    if hang:
        time.sleep(1)  # time for the first heartbeat
    name = f"{point['a']}{point['b']}"
    with (folder / "started.txt").open("a") as file:
        file.write(f"{name} {os.getpid()}\\n")
    if hang:
        time.sleep(600)
    time.sleep(0.2)
    return point["a"] + 0.5 * (point["b"] == "y")

study = open_study(sys.argv[3], "grid", AXES, heartbeat_s=2)
work_through(study, AXES, run_point, poll_s=0.3)
"""


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def address(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/g.db"


def small_study(address: str, values=(1, 2), heartbeat_s: int = 60) -> optuna.Study:
    return open_study(address, "g", {"a": list(values)}, heartbeat_s=heartbeat_s)


def completed(study: optuna.Study) -> collections.Counter:
    done = study.get_trials(states=(TrialState.COMPLETE,))
    return collections.Counter(key_of(trial.params) for trial in done)


def test_a_poll_looks_at_new_and_unfinished_trials_only(address, monkeypatch):
    values = list(range(8))
    study = small_study(address, values)
    looked_at = []
    monkeypatch.setattr(grid, "key_of", lambda point: looked_at.append(point) or key_of(point))
    work_through(study, {"a": values}, lambda trial, point: 1.0, poll_s=0.1)
    assert len(completed(study)) == 8
    assert len(looked_at) == 8


def test_all_combinations_last_axis_fastest():
    assert grid_points({"a": [1, 2], "b": ["x", "y"]}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_one_worker_runs_every_point_once(address):
    study, runs = open_study(address, "g", AXES, heartbeat_s=60), []
    work_through(study, AXES, lambda trial, p: runs.append(p) or float(p["a"]), poll_s=0.1)
    assert sorted(map(key_of, runs)) == sorted(map(key_of, grid_points(AXES)))
    work_through(study, AXES, lambda trial, p: runs.append(p) or 0.0, poll_s=0.1)
    assert len(runs) == 6 and study.best_value == 5


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """Address of a database that several processes reach."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/grid.db"
        return
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install '.[sweep-server]'")
    with postgres_server() as server:
        yield server


def test_point_of_a_killed_worker_is_done_by_another(tmp_path, database):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(mode):
        command = [sys.executable, "-W", "ignore", "-c", WORKER, str(tmp_path), mode, database]
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

    study = open_study(database, "grid", AXES, heartbeat_s=2)
    assert completed(study).keys() == set(map(key_of, grid_points(AXES)))
    runs = [line.split() for line in started.read_text().splitlines()]
    assert runs[0][1] == str(victim.pid)
    assert [name for name, _ in runs].count(runs[0][0]) >= 2
    assert study.best_params == {"a": 5, "b": "y"}


def test_workers_that_make_the_tables_at_the_same_moment(address, monkeypatch):
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
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        studies = list(pool.map(small_study, [address] * 3))
    studies[0].enqueue_trial({"a": 1})
    assert [len(study.trials) for study in studies] == [1, 1, 1]


def test_database_that_cannot_be_opened_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(sqlalchemy.exc.OperationalError, match="unable to open"):
        small_study(f"sqlite:///{tmp_path}/missing/g.db")


def test_failed_point_is_run_again_on_demand_only(address):
    study, broken, runs = small_study(address), [True], []

    def run_point(trial, point):
        runs.append(point["a"])
        if point["a"] == 2 and broken[0]:
            raise RuntimeError("no memory")
        return float(point["a"])

    def work(**options):
        work_through(study, {"a": [1, 2]}, run_point, poll_s=0.1, **options)
        return collections.Counter(runs)

    assert work() == {1: 1, 2: 1}
    assert work() == {1: 1, 2: 1}
    assert [t.state.name for t in trials_by_point(study)[key_of({"a": 2})]] == ["FAIL"]
    broken[0] = False
    assert work(retry_failed=True) == {1: 1, 2: 2}
    assert sum(completed(study).values()) == 2
    assert work(retry_failed=True) == {1: 1, 2: 2}


def test_point_given_out_twice_is_run_again(address):
    """As Optuna may do with workers that ask at the same moment."""
    study, runs = small_study(address, [1]), []

    def run_point(trial, point):
        if not runs:
            queue_again(study, study.trials[0])
        return runs.append(point) or 1.0

    work_through(study, {"a": [1]}, run_point, poll_s=0.1)
    assert runs == [{"a": 1}, {"a": 1}] and completed(study) == {key_of({"a": 1}): 2}


def test_pruned_point_counts_as_done(address):
    study, runs = small_study(address, [1]), []

    def run_point(trial, point):
        runs.append(point)
        raise optuna.TrialPruned

    for _ in range(2):
        work_through(study, {"a": [1]}, run_point, poll_s=0.1, retry_failed=True)
    assert len(runs) == 1
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED]


def test_interrupted_point_is_queued_again(address):
    study, runs = small_study(address), []

    def run_point(trial, point):
        runs.append(point["a"])
        if len(runs) == 1:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        work_through(study, {"a": [1, 2]}, run_point, poll_s=0.1)
    work_through(study, {"a": [1, 2]}, run_point, poll_s=0.1)
    assert sorted(runs[1:]) == [1, 2] and set(completed(study).values()) == {1}


@pytest.mark.parametrize("ends", ["score", "error", "pruned"])
def test_worker_whose_point_was_taken_over_goes_on_with_the_others(address, capsys, ends):
    study, runs = small_study(address), []

    def close_as_dead(number):  # as other workers do with one that was silent for too long
        other = small_study(address)
        queue_again(other, other.trials[number])
        other.tell(number, state=TrialState.FAIL)

    def run_point(trial, point):
        runs.append(point["a"])
        if len(runs) == 1:
            assert not is_taken_over(study, trial.number)
            close_as_dead(trial.number)
            assert is_taken_over(study, trial.number)
            if ends == "error":
                raise RuntimeError("stopped")
            if ends == "pruned":
                raise optuna.TrialPruned
        return float(point["a"])

    work_through(study, {"a": [1, 2]}, run_point, poll_s=0.1)
    assert sorted(runs) == sorted([1, 2, runs[0]])  # nobody else is there to take it
    assert completed(study) == {key_of({"a": 1}): 1, key_of({"a": 2}): 1}
    assert "Trial 0 was taken over by another worker" in capsys.readouterr().err


def test_trial_counts_as_ours_while_the_database_does_not_answer(address, monkeypatch):
    study = small_study(address)
    trial = study.ask()

    def refuse(*args, **options):
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("no connection"))

    monkeypatch.setattr(study, "get_trials", refuse)
    assert not is_taken_over(study, trial.number)


def test_score_that_is_no_number_closes_the_point_as_failed(address):
    study, runs = small_study(address, [1]), []

    def run_point(trial, point):
        runs.append(point)
        assert len(runs) < 3  # it would be run for ever
        return float("nan")

    work_through(study, {"a": [1]}, run_point, poll_s=0.1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
