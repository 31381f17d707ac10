"""Decode the files of one volume in a process of its own, for `decode_server`."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
from contextlib import suppress
from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.limits import max_bytes
from data_prep.volumes import png_files
from data_prep.volumes.dicom.frames import stored_pixels
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.itk import files as itk_files


def _dicom(path: Path, name: str) -> np.ndarray:
    return stored_pixels(read_header(path, name, with_pixels=True), name)


_DECODERS = {"dicom": _dicom, "packed voxels": itk_files.packed_voxels, "png": png_files.decode}
# What a decoder takes beside the image: libraries' stacks, tables and copies of the image.
_SLACK = 2**29
_COPIES = 8


def serve(control: socket.socket) -> None:
    """Fork for every connection that comes over `control`; return when that is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # leave no zombies
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold patients' images
    while True:
        message, received, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        for number in received:
            with socket.socket(fileno=number) as connection, suppress(OSError):
                if os.fork() == 0:
                    control.close()
                    try:
                        decode(connection)
                    finally:
                        os._exit(0)


def limit_memory(file_bytes: int, decoded_bytes: int) -> None:
    """Let this process take what a file needs beyond what it has now.

    Args:
        file_bytes: Size of the file.
        decoded_bytes: Size of the image, as its header states it.
    """
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = held + min(2 * file_bytes + _COPIES * decoded_bytes + _SLACK, 2 * max_bytes())
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def decode(connection: socket.socket) -> None:
    """Decode the files that are asked for, in order, up to the first that fails.

    The request is one line, a JSON list of (kind, path, name, bytes of the image by its header,
    seconds that it may take). The answer is a byte to say that the process is up, then per file a
    line of JSON and the array's bytes, or instead of these an error's message and path.
    """
    connection.sendall(b"\n")
    with connection.makefile("rb") as requests:
        tasks = json.loads(requests.readline())
    for kind, path, name, size, limit in tasks:
        # The system ends the process, whatever a decoder does.
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            limit_memory(os.stat(path).st_size, size)
            array = np.ascontiguousarray(_DECODERS[kind](Path(path), name))
        except MemoryError:
            text = (
                f"Expected an image of {size} bytes, as its header says, and a decoder within"
                f" {max_bytes() / 2**30:g} GiB but it asks for more memory. If that is meant, raise"
                " the limit with MMGLAN_MAX_GIB in the environment."
            )
            connection.sendall(json.dumps({"message": text, "path": name}).encode() + b"\n")
            return
        except DataError as error:
            head = {"message": error.message, "path": error.path}
            connection.sendall(json.dumps(head).encode() + b"\n")
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        head = {"shape": array.shape, "dtype": array.dtype.str}
        connection.sendall(json.dumps(head).encode() + b"\n")
        connection.sendall(array.reshape(-1).view(np.uint8))


def load_plugins() -> None:
    """Load once what Pillow, pydicom's decoder of JPEG 2000, else loads in every process."""
    with suppress(ImportError):
        from PIL import Image

        Image.init()


if __name__ == "__main__":
    load_plugins()
    serve(socket.socket(fileno=0))
    os.killpg(0, signal.SIGKILL)  # nobody is left to hear those that still decode
