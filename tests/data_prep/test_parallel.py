"""Tasks in this process, in workers, and on a Dask cluster."""

import gc
import os
import subprocess
import sys

import psutil
import pytest
from dask.distributed import Client, LocalCluster

from data_prep import parallel
from data_prep.errors import DataError


def square(x: int) -> tuple[int, int]:
    """A task; with the process that ran it."""
    return x * x, os.getpid()


def test_one_job_runs_here_in_order():
    results = list(parallel.run_tasks(square, range(4), progress=False))
    assert results == [(x * x, os.getpid()) for x in range(4)]


def test_nothing_to_do():
    assert list(parallel.run_tasks(square, [], jobs=2, progress=False)) == []


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_two_jobs_give_all_results(backend):
    results = list(parallel.run_tasks(abs, range(-9, 0), jobs=2, backend=backend, progress=False))
    assert sorted(results) == list(range(1, 10))


def test_a_scheduler_without_dask_is_refused():
    for jobs in (1, 2):
        with pytest.raises(DataError, match="Add --backend dask"):
            list(parallel.run_tasks(abs, [1], jobs=jobs, scheduler="tcp://x:1", progress=False))


def test_backends_and_schedulers_that_are_not_there():
    with pytest.raises(DataError, match=r"^Expected one of loky, threading, dask or a backend reg"):
        list(parallel.run_tasks(abs, [1], backend="slurm", progress=False))
    options = {"backend": "dask", "scheduler": "tcp//nowhere", "progress": False}
    with pytest.raises(DataError, match=r"^Expected a Dask scheduler at tcp//nowhere but none ans"):
        list(parallel.run_tasks(abs, [1], **options))
    # Collected later, in the thread of the next client's loop, it would stop that for ten seconds.
    assert not [thing for thing in gc.get_objects() if type(thing) is Client]


def test_a_worker_that_dies_is_one_line_with_advice():
    with pytest.raises(parallel.WorkerLost, match=r"again with fewer --jobs\.$") as caught:
        list(parallel.run_tasks(os._exit, [3, 3], jobs=2, progress=False))
    assert "\n" not in str(caught.value)


def test_an_existing_dask_cluster_of_two_workers():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False),
    ):
        found = parallel.run_tasks(
            abs,
            range(-20, 0),
            backend="dask",
            scheduler=cluster.scheduler_address,
            progress=False,
        )
        assert sorted(found) == list(range(1, 21))


def test_workers_end_when_their_master_is_killed():
    code = (
        "import time\n"
        "from data_prep import parallel\n"
        "for _ in parallel.run_tasks(time.sleep, [0.05] * 2 + [60] * 4, jobs=2, progress=False):\n"
        "    print('up', flush=True)\n"
    )
    master = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with master.stdout:
        assert master.stdout.readline() == "up\n"
        workers = psutil.Process(master.pid).children(recursive=True)
        assert len(workers) >= 2
        master.kill()
        master.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
