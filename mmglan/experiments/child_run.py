"""Commands run as children that do not outlive their parent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from mmglan.experiments.parent_death import die_with_parent

STOP_S = 60  # torchrun gives its own workers 30 s
# A line that names an error, behind what torchrun puts before it.
_ERROR = re.compile(r"^(?:\[\w+\]: ?)*((?:[\w.]*(?:Error|Exception)|error): .+)$", re.MULTILINE)


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
        RuntimeError: the command failed; the message ends with the last error in its output.
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
            stop(child)
    if child.returncode:
        reason = last_error(log_file.read_text(errors="replace"))
        raise RuntimeError(f"exit status {child.returncode}, see {log_file}: {reason}")
    return True


def last_error(log: str) -> str:
    """Find the last line that names an error in what a command printed, else the last line.

    Under torchrun it is followed by a table of the failed workers and an error without a cause.
    """
    errors = [line for line in _ERROR.findall(log) if "ChildFailedError" not in line]
    return (errors or log.strip().splitlines() or [""])[-1]


def stop(child: subprocess.Popen) -> None:
    """End a child: asked first, so that a launcher ends its workers, and killed if it stays."""
    child.terminate()
    try:
        child.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:  # stopped, or stuck
        child.kill()
        child.wait()


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
