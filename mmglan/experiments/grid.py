"""A grid of settings that several workers go through together, each point once.

The points lie in the queue of an Optuna study. A worker takes the next one, and its heartbeat
tells the others that it lives. The point of a worker that died goes back into the queue, also
where it died between taking the point and its first heartbeat. Two workers may put the same point
there at the same moment: of several trials of one point the one with the lowest number counts, the
others are closed as surplus without being run.
"""

from __future__ import annotations

import collections
import itertools
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

Point = dict[str, Any]
BUSY_TIMEOUT_S = 120  # waiting for other workers' transactions, which take milliseconds
LIVE = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)


def grid_points(axes: Mapping[str, Sequence[Any]]) -> list[Point]:
    """All combinations of the axes, the last axis fastest.

    Args:
        axes: setting -> its values.

    Returns:
        One dict per point.
    """
    names = list(axes)
    return [dict(zip(names, v, strict=True)) for v in itertools.product(*axes.values())]


def open_study(
    storage: str, name: str, *, heartbeat_s: int, pruner: optuna.pruners.BasePruner | None = None
) -> optuna.Study:
    """Open a study, or make it where there is none.

    Args:
        storage: address of a database that all workers reach, e.g. `sqlite:///sweep.db` on one
            machine, `postgresql://…` or `mysql://…` on several.
        name: name of the study.
        heartbeat_s: seconds between signs of life; a worker silent for three times as long
            counts as dead.
        pruner: stops hopeless points early; None for never.

    Returns:
        The study, larger values being better.
    """
    return optuna.create_study(
        storage=open_storage(storage, heartbeat_s),
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        pruner=pruner or optuna.pruners.NopPruner(),
        sampler=optuna.samplers.RandomSampler(),
    )


def open_storage(address: str, heartbeat_s: int) -> optuna.storages.RDBStorage:
    """Open a database, or make its tables where there are none.

    Of workers that start at the same moment on a new database each may find tables missing that
    another is about to make, and fail; they find them when they look again.

    Args:
        address: see `open_study`.
        heartbeat_s: see `open_study`.

    Raises:
        sqlalchemy.exc.DBAPIError: the database refuses for longer than a start takes.
    """
    for pause_s in (0.2, 0.5, 1.0, 2.0, None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                backend = optuna.storages.RDBStorage(
                    address, heartbeat_interval=heartbeat_s, grace_period=3 * heartbeat_s
                )
        except sqlalchemy.exc.DBAPIError:
            if pause_s is None:
                raise
            time.sleep(pause_s)
        else:
            break
    if backend.engine.dialect.name == "sqlite":
        lock_before_reading(backend.engine)
    return backend


def lock_before_reading(engine: sqlalchemy.Engine) -> None:
    """Let every transaction of a SQLite database hold its write lock from the first statement on.

    A worker claims a trial by reading its state and then writing it. Servers lock the row in
    between (`SELECT … FOR UPDATE`); SQLite knows no such lock and would let two workers read
    "waiting" before either writes.

    Args:
        engine: engine of the database; connections it holds already are closed.
    """

    @sqlalchemy.event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection, _record):
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()


def key_of(point: Point) -> str:
    """Name of a point in the study."""
    return json.dumps(point, sort_keys=True)


def trials_by_point(study: optuna.Study) -> dict[str, list[FrozenTrial]]:
    """The trials of each point that count, by number: surplus ones are left out."""
    found = collections.defaultdict(list)
    for trial in study.get_trials(deepcopy=False):
        if "surplus" not in trial.user_attrs:
            found[trial.user_attrs.get("point")].append(trial)
    return found


def queue_missing(study: optuna.Study, points: Sequence[Point], retry_failed: bool) -> int:
    """Queue every point that is neither done, nor running, nor queued.

    Args:
        study: the study.
        points: the grid.
        retry_failed: also points whose run ended with an error, not only those whose worker
            died.

    Returns:
        Number of points queued.
    """
    count = 0
    known = trials_by_point(study)
    for point in points:
        trials = known[key_of(point)]
        failed = bool(trials) and "error" in trials[-1].user_attrs
        if any(trial.state in LIVE for trial in trials) or (failed and not retry_failed):
            continue
        study.enqueue_trial(point, user_attrs={"point": key_of(point)})
        count += 1
    return count


class DeadTrials:
    """Closes the running trials of workers that died, so that their points are queued again.

    Optuna knows the dead by the age of their last heartbeat and passes over a trial without any:
    that of a worker killed right after it took the trial. Such a trial is closed here once this
    worker has seen it without a heartbeat for a whole grace period by its own clock.

    Args:
        study: study of `open_study`.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self.storage: optuna.storages.RDBStorage = study._storage._backend  # behind a cache
        self.silent_since: dict[int, float] = {}

    def close(self) -> None:
        """Close as failed what counts as dead now."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
        now = time.monotonic()
        self.silent_since = {n: self.silent_since.get(n, now) for n in self._silent()}
        for number, since in self.silent_since.items():
            if now - since > self.storage.grace_period:
                self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _silent(self) -> list[int]:
        """Numbers of the running trials that have no heartbeat yet."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        with self.storage.engine.connect() as connection:
            rows = connection.execute(sqlalchemy.text("SELECT trial_id FROM trial_heartbeats"))
            beating = set(rows.scalars())
        return [trial.number for trial in running if trial._trial_id not in beating]


def is_taken_over(study: optuna.Study, number: int) -> bool:
    """Tell whether others closed a running trial of this worker.

    They do so with a worker that was silent for too long: stopped, or on a machine that slept.
    While the database does not answer the trial counts as this worker's.
    """
    try:
        state = study.get_trials(deepcopy=False)[number].state
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError):
        return False
    return state.is_finished()


def is_surplus(study: optuna.Study, trial: optuna.Trial, point: Point | None) -> bool:
    """Tell whether another trial stands for the same point, or the trial for none."""
    if point is None:
        return True
    rivals = trials_by_point(study)[key_of(point)]
    return any(other.number < trial.number and other.state in LIVE for other in rivals)


def work_through(
    study: optuna.Study,
    axes: Mapping[str, Sequence[Any]],
    run_point: Callable[[optuna.Trial, Point], float],
    *,
    poll_s: float,
    retry_failed: bool = False,
) -> None:
    """Run points until none is left for this worker or any other.

    Waits for other workers' points, so that those of a worker that dies are done too.

    Args:
        study: study shared by the workers.
        axes: the grid.
        run_point: runs a point and returns its score; may raise `optuna.TrialPruned`. Any other
            exception, or a score that is no number, closes the point as failed, with its text.
            What becomes of a point that others have taken over meanwhile is their affair.
        poll_s: seconds between two looks while other workers finish.
        retry_failed: run points again that ended with an error before.
    """
    points = grid_points(axes)
    by_key = {key_of(point): point for point in points}

    begun: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        begun.append(trial.number)
        point = by_key.get(trial.user_attrs.get("point"))
        if is_surplus(study, trial, point):
            trial.set_user_attr("surplus", True)
            raise optuna.TrialPruned("another trial stands for this point")
        for name, values in axes.items():
            trial.suggest_categorical(name, list(values))
        try:
            score = run_point(trial, point)
            if math.isnan(score):
                raise ValueError("Expected a score but got nan: has the validation split lesions?")
            return score
        except optuna.TrialPruned:
            raise
        except Exception as error:
            if not is_taken_over(study, trial.number):
                trial.set_user_attr("error", str(error))
            raise

    def run_next() -> None:
        begun.clear()
        try:
            study.optimize(objective, n_trials=1, catch=(Exception,))
        except Exception:  # Optuna's, on closing a trial that is closed already
            if not begun or not is_taken_over(study, begun[0]):
                raise
            print(f"Trial {begun[0]} was taken over by another worker.", file=sys.stderr)

    queue_missing(study, points, retry_failed)
    dead = DeadTrials(study)
    while True:
        dead.close()
        queue_missing(study, points, retry_failed=False)
        states = {trial.state for trial in study.get_trials(deepcopy=False)}
        if TrialState.WAITING in states:
            run_next()
        elif TrialState.RUNNING in states:
            time.sleep(poll_s)
        else:
            return
