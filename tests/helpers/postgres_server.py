"""A PostgreSQL server of the machine's own binaries, for one test session."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SERVER_USER = "postgres"  # the server refuses to run as root


def binary(name: str) -> str | None:
    """Find a program of the server, also where Debian keeps its versions."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    return shutil.which(name, path=path)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server and stop it in the end; gives the address of its database.

    Skips the test, by name of what is missing, where there is no server.
    """
    initdb, control = binary("initdb"), binary("pg_ctl")
    if initdb is None or control is None:
        pytest.skip("PostgreSQL is not installed: see .ci/install_servers.sh")
    as_root = os.geteuid() == 0
    if as_root and SERVER_USER not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip(f"PostgreSQL needs the user {SERVER_USER}, as its packages make it")
    # Not in pytest's folder, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user = {"user": SERVER_USER} if as_root else {}
    if as_root:
        shutil.chown(folder, SERVER_USER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*words: str) -> None:
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder, **user)
        assert done.returncode == 0, done.stderr + done.stdout

    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        run(initdb, "-D", f"{folder}/data", "-U", "tester", "--auth=trust", "-E", "UTF8")
        run(control, "-D", f"{folder}/data", "-o", options, "-w", "-l", f"{folder}/log", "start")
        try:
            yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
        finally:
            run(control, "-D", f"{folder}/data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
