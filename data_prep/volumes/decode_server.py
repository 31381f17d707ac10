"""Compressed images, decoded in a process of their own: DICOM, NIfTI, NRRD, MetaImage and PNG.

The decoders of all kinds of JPEG are C libraries. On damaged streams they were seen to crash and to
run without end, and a small file can unpack to all memory; here that costs one volume, not the run.
Each volume has a fresh process, with as much memory as the header asks for and limited time, so
that nothing which a damaged stream did to the memory reaches the next one. They are forked from a
server (`data_prep.volumes.decode_child`) that is started once and has the libraries loaded.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.limits import max_bytes

# For one file; generous on purpose, for busy machines and large multi-frame files.
TIMEOUT_S = 60.0
TIMEOUT_PER_MIB_S = 5.0
# Start of the server, which loads Python and its libraries.
START_S = 120.0


class _Server:
    """The process from which those that decode are forked; it ends with this one."""

    def __init__(self) -> None:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path),
            "PYTHONSAFEPATH": "1",
            "OPENBLAS_NUM_THREADS": "1",  # a process that forks should have one thread
        }
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "data_prep.volumes.decode_child"],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C is not for it
            )

    def connect(self) -> socket.socket:
        """Return a connection to a new process, once that is up; else raise OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [b"\n"], [theirs.fileno()])
            ours.settimeout(START_S)
            if not ours.recv(1):
                raise ConnectionError("The server or its fork has ended.")
            return ours
        except BaseException:
            ours.close()
            raise

    def stop(self) -> None:
        """End the process, not those that it forked."""
        self._process.kill()
        self._process.wait()
        self._control.close()

    def leave(self) -> None:
        """Leave the server to the parent, after a fork."""
        self._control.close()
        self._process.returncode = 0  # not a child of this process


_lock = threading.Lock()
_server: _Server | None = None


def _stop_server() -> None:
    global _server
    if _server is not None:
        _server.stop()
        _server = None


def _after_fork() -> None:
    global _server
    if _server is not None:
        _server.leave()
        _server = None
    _lock.release()


# It would end without this, but Python warns of processes that are left.
atexit.register(_stop_server)
# Under the lock no copy of a socket can go to a child that keeps it open.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)


def decode(
    files: Sequence[tuple[Path, str]], kind: str = "dicom", decoded_bytes: int | None = None
) -> list[np.ndarray]:
    """Decode files, as `data_prep.volumes.dicom.frames.stored_pixels` does if they are DICOM.

    Args:
        files: Path of each file, and how messages call it.
        kind: `dicom`, `packed voxels` (`itk_files`) or `png` (`png_files`).
        decoded_bytes: Size of the largest image, as its header states it; default: any size.

    Raises:
        DataError: A file that cannot be decoded, also if its decoder crashes or never ends, or
            needs more memory.
    """
    return list(_decoded(files, kind, decoded_bytes))


def decode_each(
    files: Sequence[tuple[Path, str]], kind: str, decoded_bytes: int | None = None
) -> Iterator[np.ndarray | DataError]:
    """Yield what `decode` returns for each file, or its error: one file costs no other."""
    done = 0
    while done < len(files):
        try:
            for array in _decoded(files[done:], kind, decoded_bytes):
                yield array
                done += 1
        except DataError as error:
            yield error
            done += 1


def _decoded(
    files: Sequence[tuple[Path, str]], kind: str, decoded_bytes: int | None
) -> Iterator[np.ndarray]:
    size = max_bytes() if decoded_bytes is None else decoded_bytes
    tasks = [
        (
            *(kind, os.path.abspath(path), name, size),
            TIMEOUT_S + TIMEOUT_PER_MIB_S * path.stat().st_size / 2**20,
        )
        for path, name in files
    ]
    connection = _connect(files[0][1])
    with connection, connection.makefile("rb") as answers:
        with suppress(OSError):  # killed already: no answer comes
            connection.sendall(json.dumps(tasks).encode() + b"\n")
        for _, _, name, _, limit in tasks:
            yield _receive(connection, answers, name, limit)


def _connect(name: str) -> socket.socket:
    global _server
    with _lock:
        for _ in range(2):  # the server may have been killed, e.g. for its memory
            try:
                _server = _server or _Server()
                return _server.connect()
            except OSError:
                _stop_server()
    raise DataError(
        "Expected a process for the decoders but it does not start; often that is a lack of "
        "memory. Run the same command again with fewer --jobs.",
        path=name,
    )


def _receive(
    connection: socket.socket, answers: BufferedReader, name: str, limit: float
) -> np.ndarray:
    """Read the answer for one file; see `data_prep.volumes.decode_child.decode`."""
    failed = DataError(
        "Expected pixels that can be decoded but their decoder failed: the file is damaged. Copy "
        "it again.",
        path=name,
    )
    connection.settimeout(2 * limit)  # it ends by itself after `limit`
    with suppress(OSError, ValueError, MemoryError):  # an answer that is cut off
        head = json.loads(answers.readline())
        if "message" in head:
            failed = DataError(head["message"], path=head["path"])
        else:
            array = np.empty(head["shape"], head["dtype"])
            if answers.readinto(array.reshape(-1).view(np.uint8)) == array.nbytes:
                return array
    raise failed
