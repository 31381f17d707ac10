"""Run one function over many tasks: in this process, on the cores here, or on a Dask cluster.

The order in which results arrive is not fixed; callers must not let their output depend on it.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any

import joblib
from tqdm import tqdm

from data_prep.errors import DataError

BACKENDS = ("loky", "threading", "dask")


class WorkerLost(DataError):
    """A worker process ended without a result."""


@contextmanager
def backend_context(backend: str, scheduler: str | None, jobs: int) -> Iterator[int]:
    """Select joblib's backend and yield the number of jobs to ask it for.

    Args:
        backend: One of `BACKENDS`, or any name that was registered with joblib
            (`ray` after `ray.util.joblib.register_ray()`).
        scheduler: Address of a Dask scheduler, `tcp://host:8786`; with `dask` only. Without
            it a cluster of `jobs` worker processes is started here and stopped at the end.
        jobs: Number of workers; a Dask cluster decides that itself.

    Raises:
        DataError: There is no such backend or scheduler.
    """
    if backend != "dask":
        if scheduler is not None:
            raise DataError(
                f"Expected --scheduler together with --backend dask, but got --backend {backend}."
                " Add --backend dask."
            )
        # A killed run must not go on writing through its workers.
        follow = {"initializer": _follow, "initargs": (os.getpid(),)} if backend == "loky" else {}
        try:
            config = joblib.parallel_config(backend=backend, **follow)
        except ValueError:
            raise DataError(
                f"Expected one of {', '.join(BACKENDS)} or a backend registered with joblib but"
                f" got --backend {backend}. Correct it."
            ) from None
        with config:
            yield jobs
        return
    from dask.distributed import LocalCluster

    cluster = None
    if scheduler is None:
        # Threads of one worker would hold several volumes at once: one thread each.
        cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
    client = _dask_client(cluster if cluster is not None else scheduler)
    try:
        with joblib.parallel_config(backend="dask", client=client):
            yield -1
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def run_tasks(
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    *,
    total: int | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    description: str = "",
    progress: bool = True,
) -> Iterator[Any]:
    """Yield `function(task)` for every task, in whatever order they finish.

    Args:
        function: Importable by name, since it is sent to other processes.
        tasks: Small and picklable; a task names its volume, it does not hold it. They are taken
            one by one, as they are needed.
        total: Number of tasks, if `tasks` has no length.
        jobs: 1 runs in this process, except with Dask.
        backend, scheduler: See `backend_context`, also for errors.
        description: Text of the progress bar (written to stderr).
        progress: Show the bar.
    """
    # In a log file a line every ten seconds is enough.
    pause = 0.1 if sys.stderr.isatty() else 10.0
    total = len(tasks) if total is None else total
    with tqdm(total=total, desc=description, disable=not progress, mininterval=pause) as bar:
        for result in _results(function, tasks, jobs, backend, scheduler):
            bar.update()
            yield result


def _results(
    function: Callable[[Any], Any],
    tasks: Iterable[Any],
    jobs: int,
    backend: str,
    scheduler: str | None,
) -> Iterable[Any]:
    if jobs == 1 and backend == "loky" and scheduler is None:
        for task in tasks:
            yield function(task)
        return
    with backend_context(backend, scheduler, jobs) as n_jobs:
        parallel = joblib.Parallel(
            n_jobs=n_jobs, batch_size=1, pre_dispatch="3*n_jobs", return_as="generator_unordered"
        )
        try:
            yield from parallel(joblib.delayed(function)(task) for task in tasks)
        except BrokenProcessPool as error:
            raise WorkerLost(
                f"Expected workers that stay alive but got: {str(error).splitlines()[0]} Often that"
                " is a lack of memory: run the same command again with fewer --jobs."
            ) from error


def _dask_client(scheduler: Any) -> Any:
    from dask.distributed import Client

    with suppress(OSError, ValueError):
        return Client(scheduler, set_as_default=False)
    # The client that found nobody would be closed when it is collected, whatever thread does that:
    # the thread that starts the next client's loop would wait for a lock which its starter holds.
    gc.collect()
    raise DataError(
        f"Expected a Dask scheduler at {scheduler} but none answers. Correct --scheduler."
    )


def _follow(master: int) -> None:
    """End this worker soon after the process `master` has gone."""
    parent = os.getppid()
    if parent != master:  # gone before this worker was up
        os._exit(1)

    def watch() -> None:
        # Asking whether a process of that number lives would take a zombie for alive.
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
