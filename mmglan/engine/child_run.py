"""Commands run as children that do not outlive their parent."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

# Looked up before any fork: after one, with other threads about, little is safe to call.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere do nothing.

    Without it the training of a killed worker would go on and write into the directory that
    another worker has taken over.

    Args:
        parent: process number of the parent, which may be dead already.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def run_command(
    command: Sequence[str],
    log_file: Path,
    environment: Mapping[str, str] | None = None,
    watch: Callable[[], bool] | None = None,
    poll_s: float = 2.0,
) -> bool:
    """Run a command, its output going to the end of a file.

    Args:
        command: program and arguments.
        log_file: file for stdout and stderr.
        environment: environment variables; None for this process's own.
        watch: called every `poll_s` seconds; the command is stopped when it returns True.
        poll_s: seconds.

    Returns:
        False if `watch` stopped the command.

    Raises:
        RuntimeError: the command failed; the message ends with the last line of its output.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        child = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    try:
        while child.poll() is None:
            if watch is not None and watch():
                return False
            time.sleep(min(poll_s, 0.2) if watch is None else poll_s)
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    if child.returncode:
        lines = log_file.read_text(errors="replace").strip().splitlines() or [""]
        raise RuntimeError(f"exit status {child.returncode}, see {log_file}: {lines[-1]}")
    return True


def validation_scores(run_dir: Path, metric: str) -> dict[int, float]:
    """Read the validation results of a training run, resumed ones included.

    Args:
        run_dir: `--work-dir` of the run.
        metric: e.g. `lesion/bbox_AP25`.

    Returns:
        Epoch -> value.
    """
    scores: dict[int, float] = {}
    for path in sorted(run_dir.glob("*/vis_data/*.json")):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed run
            if isinstance(entry, dict) and metric in entry:
                scores[int(entry["step"])] = float(entry[metric])
    return scores
