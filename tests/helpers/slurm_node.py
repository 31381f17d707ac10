"""A Slurm of one node, two pretended GPUs and the machine's own binaries, for one test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")
PLACES = "/usr/sbin:/usr/bin:/sbin:/bin"
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=100 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count: int) -> list[int]:
    """Find ports that nothing listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def slurm_node() -> Iterator[dict[str, str]]:
    """Start the daemons, and end them; gives the environment that its commands need.

    Skips the test, by name of what is missing, where there is no Slurm or no right to start it.
    """
    missing = [name for name in NEEDED if shutil.which(name, path=PLACES) is None]
    if missing:
        pytest.skip(f"Slurm is not installed ({', '.join(missing)}): see .ci/install_servers.sh")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons need root")
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    for number in range(2):
        (folder / f"gpu{number}").touch()
    (folder / "slurm.conf").write_text(CONF.format(host=host, folder=folder, ports=free_ports(2)))
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
    # Devices are not confined here: no cgroups.
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainDevices=no\n")
    path = os.pathsep.join([os.environ.get("PATH", ""), PLACES])
    environment = {**os.environ, "SLURM_CONF": f"{folder}/slurm.conf", "PATH": path}
    munge = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key"]
    munge += [f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid"]
    munge += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    daemons = [munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for words in daemons:
            log = stack.enter_context((folder / f"{words[0]}.out").open("w"))
            process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait, timeout=30)
            stack.callback(process.terminate)
            time.sleep(0.5)
        deadline = time.monotonic() + 60
        while "idle" not in _output(["sinfo", "-h", "-o", "%t"], environment):
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-800:] for path in folder.glob("*.out"))
                pytest.fail(f"the node does not come up:\n{logs}")
            time.sleep(0.5)
        yield environment


def wait_for_jobs(environment: dict[str, str], timeout_s: float) -> None:
    """Wait until no job is left in the queue."""
    deadline = time.monotonic() + timeout_s
    while _output(["squeue", "-h"], environment).strip():
        assert time.monotonic() < deadline, _output(["squeue"], environment)
        time.sleep(1)


def _output(words: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(words, env=environment, capture_output=True, text=True).stdout
