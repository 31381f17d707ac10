"""The directory of a training run: the checkpoint to go on from, and who is writing there."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import zipfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: runs are not guarded there
    fcntl = None

from data_prep.atomic_files import open_lock
from data_prep.errors import printable

LOCK_NAME = ".training.lock"
_NUMBERED = re.compile(r"(?:epoch|iter)_(\d+)\.pth")
_BUSY = (errno.EACCES, errno.EAGAIN)
_held: list[int] = []  # locks last as long as the process


def is_whole(checkpoint: Path) -> bool:
    """Tell whether a file of `torch.save` was written to its end.

    Its table of contents comes last, so that one cut short by a kill has none.
    """
    return checkpoint.is_file() and zipfile.is_zipfile(checkpoint)


def latest_checkpoint(run_dir: Path) -> Path | None:
    """Find the checkpoint from which a run continues.

    MMEngine notes its path in `last_checkpoint`, from the root or from the folder the run was
    started in: a directory that was moved or copied since has it under the same name. The note is
    part of the directory, which may come from elsewhere: only files of the directory count.

    Args:
        run_dir: `--work-dir` of a run.

    Returns:
        The one noted if it is whole; else the whole one of the highest number (a kill may have cut
        the last one short); None if there is none.
    """
    note = run_dir / "last_checkpoint"
    if not note.is_file():
        return None
    noted = run_dir / Path(note.read_text(errors="replace").strip()).name
    if _stays_in(run_dir, noted) and is_whole(noted):
        return noted
    numbered = [
        (int(match[1]), path)
        for path in run_dir.glob("*.pth")
        if (match := _NUMBERED.fullmatch(path.name)) and _stays_in(run_dir, path) and is_whole(path)
    ]
    return max(numbered)[1] if numbered else None


def _stays_in(run_dir: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(run_dir.resolve())


def refuse_links(run_dir: Path) -> None:
    """Refuse a run directory with links that lead out of it: what a run writes would follow them.

    Raises:
        OSError: There is one; it is named.
    """
    for path in sorted(run_dir.iterdir()) if run_dir.is_dir() else ():
        if path.is_symlink() and not _stays_in(run_dir, path):
            raise OSError(
                f"{path}: Expected files of this run but got a link that leads out of its "
                "directory. Remove the link, or name another --work-dir."
            )


def hold(run_dir: Path, wait: bool = False) -> None:
    """Make this process the only one that trains in a directory, until it ends.

    A POSIX record lock: the system drops it with the process, however that ends, data loaders do
    not inherit it, and NFS passes it on to other nodes. Where the file system has no locks the
    run goes on without, with a warning.

    Args:
        run_dir: `--work-dir` of the run; made if missing.
        wait: wait for the process that holds it instead of the error.

    Raises:
        BlockingIOError: another process trains there.
        OSError: a link in it leads elsewhere, or the lock is no plain file.
    """
    refuse_links(run_dir)
    if fcntl is None:
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = open_lock(run_dir / LOCK_NAME)
    _held.append(lock)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _BUSY:
            print(f"{run_dir}: not guarded against a second training: {error}", file=sys.stderr)
            return
        raise BlockingIOError(
            f"{run_dir}: Expected a directory that nothing else trains in but got that of "
            f"{holder_name(run_dir)}. Wait for it, end it, or name another --work-dir."
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def holder_name(run_dir: Path) -> str:
    """Process and machine that hold, or last held, a directory."""
    lock = run_dir / LOCK_NAME
    text = "" if lock.is_symlink() else lock.read_text(errors="replace")[:200]
    return printable(text) or "another process"


def is_held(run_dir: Path) -> bool:
    """Tell whether another process trains in a directory; not for the process that holds it."""
    if fcntl is None or not (run_dir / LOCK_NAME).exists():
        return False
    with os.fdopen(open_lock(run_dir / LOCK_NAME), "r+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in _BUSY
    return False
