"""A grid of settings that several workers go through together, on Optuna's own parts.

`GridSampler` deals out the points, a heartbeat tells dead workers from busy ones, and a callback
queues the point of a dead worker again. Optuna may deal out one point twice, to workers that ask at
the same moment: what runs a point has to bear that.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

Point = dict[str, Any]
BUSY_TIMEOUT_S = 120  # waiting for other workers' transactions, which take milliseconds

# Optuna calls its heartbeat experimental, at each use.
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
queue_again = RetryHeartbeatStaleTrialCallback()


def grid_points(axes: Mapping[str, Sequence[Any]]) -> list[Point]:
    """List all combinations of the axes, the last axis fastest.

    Args:
        axes: Setting -> its values.

    Returns:
        One dict per point.
    """
    names = list(axes)
    return [dict(zip(names, v, strict=True)) for v in itertools.product(*axes.values())]


def open_study(
    storage: str,
    name: str,
    axes: Mapping[str, Sequence[Any]],
    *,
    heartbeat_s: int,
    pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study:
    """Open a study, or make it where there is none.

    Args:
        storage: Address of a database that all workers reach, e.g. `sqlite:///sweep.db` on one
            machine, `postgresql://…` or `mysql://…` on several.
        name: Name of the study.
        axes: Setting -> its values.
        heartbeat_s: Seconds between signs of life; a worker silent for three times as long
            counts as dead.
        pruner: Stops hopeless points early; None for never.

    Returns:
        The study, larger values being better.
    """
    return optuna.create_study(
        storage=open_storage(storage, heartbeat_s),
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        pruner=pruner or optuna.pruners.NopPruner(),
        sampler=optuna.samplers.GridSampler(axes),
    )


def open_storage(address: str, heartbeat_s: int) -> RDBStorage:
    """Open a database, or make its tables where there are none.

    Of workers that start at the same moment on a new database each may find tables missing that
    another is about to make, and fail; they find them when they look again.

    Args:
        address: See `open_study`.
        heartbeat_s: See `open_study`.

    Raises:
        sqlalchemy.exc.DBAPIError: The database refuses for longer than a start takes.
    """
    sqlite = address.startswith("sqlite")
    connect = partial(
        RDBStorage,
        address,
        engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}} if sqlite else None,
        heartbeat_interval=heartbeat_s,
        grace_period=3 * heartbeat_s,
        heartbeat_stale_trial_callback=queue_again,
    )
    for pause_s in (0.2, 0.5, 1.0, 2.0):
        try:
            return connect()
        except sqlalchemy.exc.DBAPIError:
            time.sleep(pause_s)
    return connect()


def key_of(point: Point) -> str:
    """Name a point: equal settings have equal names."""
    return json.dumps(point, sort_keys=True)


def trials_by_point(study: optuna.Study) -> dict[str, list[FrozenTrial]]:
    """Group the trials of a study by point, in the order of their numbers."""
    found = defaultdict(list)
    for trial in study.get_trials(deepcopy=False):
        found[key_of(trial.params)].append(trial)
    return found


def is_taken_over(study: optuna.Study, number: int) -> bool:
    """Tell whether others closed a running trial of this worker.

    They do so with a worker that was silent for too long: stopped, or on a machine that slept.
    While the database does not answer the trial counts as this worker's.
    """
    try:
        return study.get_trials(deepcopy=False)[number].state.is_finished()
    except (optuna.exceptions.OptunaError, sqlalchemy.exc.SQLAlchemyError):
        return False


def work_through(
    study: optuna.Study,
    axes: Mapping[str, Sequence[Any]],
    run_point: Callable[[optuna.Trial, Point], float],
    *,
    poll_s: float,
    retry_failed: bool = False,
) -> None:
    """Run points until none is left for this worker or any other.

    Waits for other workers' points, so that those of a worker that dies are done too. A point
    whose run was interrupted from the keyboard is queued again.

    Args:
        study: Study shared by the workers.
        axes: The grid, that of the study.
        run_point: Runs a point and returns its score; may raise `optuna.TrialPruned`. Any other
            exception, or a score that is no number, closes the point as failed. Its result is
            dropped if others have taken the point over meanwhile.
        poll_s: Seconds between two looks while other workers finish.
        retry_failed: Run points again that failed before.
    """
    count = len(grid_points(axes))
    begun: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        begun.append(trial.number)
        point = {name: trial.suggest_categorical(name, values) for name, values in axes.items()}
        try:
            return run_point(trial, point)
        except KeyboardInterrupt:
            queue_again(study, study.get_trials()[trial.number])
            raise

    def run_next() -> None:
        begun.clear()
        try:
            study.optimize(objective, n_trials=1, catch=(Exception,))
        except Exception:  # Optuna's, on closing a trial that is closed already
            if not begun or not is_taken_over(study, begun[0]):
                raise
            print(f"Trial {begun[0]} was taken over by another worker.", file=sys.stderr)

    if retry_failed:
        for trials in trials_by_point(study).values():
            if trials[-1].state == TrialState.FAIL:
                queue_again(study, trials[-1])
    points_begun: set[str] = set()
    seen, unfinished = 0, []  # trials that were looked at; numbers of those that may change
    while True:
        optuna.storages.fail_stale_trials(study)
        trials = study.get_trials(deepcopy=False)
        changed = [trials[number] for number in unfinished] + trials[seen:]
        seen = len(trials)
        unfinished = [trial.number for trial in changed if not trial.state.is_finished()]
        states = {trials[number].state for number in unfinished}
        # A trial has its settings a moment after it began.
        nameless = sum(t.state == TrialState.RUNNING and not t.params for t in changed)
        points_begun |= {key_of(trial.params) for trial in changed if trial.params}
        if TrialState.WAITING in states or len(points_begun) + nameless < count:
            run_next()
        elif TrialState.RUNNING in states:
            time.sleep(poll_s)
        else:
            return
