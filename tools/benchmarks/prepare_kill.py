"""Kill `data_prep.prepare` at random moments, run it again, and compare every byte.

An uninterrupted run is the reference. Then, for each of the moments, a fresh run is killed with
SIGKILL (not its workers, which have to notice) and the same command is given again. At last one
run is killed at all the moments, one after another.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tree(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def start(data: Path, out: Path, jobs: int) -> subprocess.Popen:
    """Start `prepare` on the data set."""
    command = [sys.executable, "-m", "data_prep.prepare", "--images", str(data / "images")]
    command += ["--bookmarks", str(data / "bookmarks.csv"), "--masks", str(data / "masks")]
    command += ["--out-dir", str(out), "--jobs", str(jobs), "--keep-empty", "all", "--context", "1"]
    return subprocess.Popen(
        [*command, "--quiet"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen) -> None:
    """Wait for a run that must succeed."""
    text = process.communicate()[1].decode()
    if process.returncode:
        raise SystemExit(f"Expected prepare to succeed but got {process.returncode}: {text}")


def kill_after(process: subprocess.Popen, seconds: float) -> bool:
    """Send SIGKILL after a while; False if the run was faster."""
    time.sleep(seconds)
    running = process.poll() is None
    if running:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return running


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trial; 0 if all outputs are the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--volumes", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--no-chain", action="store_true", help="leave the last part out")
    parser.add_argument("--work-dir", default="work_dirs/prepare_kill")
    args = parser.parse_args(argv)
    from data_prep.phantoms import abdomen

    work = Path(args.work_dir).resolve()
    shutil.rmtree(work, ignore_errors=True)
    data = work / "data"
    abdomen.write_dataset(data, args.volumes, seed=5, n_empty=2, shape=(12, 96, 96))
    began = time.monotonic()
    finish(start(data, work / "undisturbed", args.jobs))
    duration = time.monotonic() - began
    wanted = tree(work / "undisturbed")
    print(f"undisturbed: {duration:.1f} s, {len(wanted)} files")
    moments = random.Random(args.seed)
    different = 0
    chain = work / "chain"
    for number in range(args.kills):
        # The first tenth is Python starting up.
        moment = duration * moments.uniform(0.1, 1.0)
        out = work / f"killed_{number}"
        while not kill_after(start(data, out, args.jobs), moment):
            # This run was faster than the undisturbed one: earlier, in a fresh folder.
            shutil.rmtree(out)
            moment *= 0.7
        left = len(tree(out)) if out.exists() else 0
        finish(start(data, out, args.jobs))
        same = tree(out) == wanted
        different += not same
        print(f"{moment:6.2f} s: killed, {left} files there; after the rerun same bytes: {same}")
        shutil.rmtree(out)
        if not args.no_chain:
            kill_after(start(data, chain, args.jobs), moment)
    if not args.no_chain:
        finish(start(data, chain, args.jobs))
        same = tree(chain) == wanted
        different += not same
        print(f"{args.kills} kills in a row in one folder; at the end same bytes: {same}")
    print(f"{args.kills} runs were killed while running; {different} differ")
    shutil.rmtree(work)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
