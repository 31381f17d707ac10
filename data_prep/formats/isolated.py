"""Compressed DICOM pixels, decoded in a process of their own.

The decoders of JPEG and its kin are C libraries. On damaged streams they were seen to crash and to
run without end; here that costs one volume, not the run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.errors import DataError

# Start of Python and its libraries on a busy machine, then per file; generous on purpose.
TIMEOUT_S = 60.0
TIMEOUT_PER_FILE_S = 5.0


def decode(files: Sequence[tuple[Path, str]]) -> list[np.ndarray]:
    """Decode DICOM files as `data_prep.formats.dicom_slices.pixels` does.

    Args:
        files: Path of each file, and how messages call it.

    Raises:
        DataError: A file that cannot be decoded, also if its decoder crashes or never ends.
    """
    paths = [[os.path.abspath(path), name] for path, name in files]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            child = subprocess.run(
                [sys.executable, "-m", "data_prep.formats.isolated", folder],
                input=json.dumps(paths).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=TIMEOUT_S + TIMEOUT_PER_FILE_S * len(files),
                check=False,
            )
            status, answer = child.returncode, child.stdout
        except subprocess.TimeoutExpired:
            status, answer = -1, b""
        if status == 0:
            return [
                np.load(Path(folder) / f"{i}.npy", allow_pickle=False) for i in range(len(files))
            ]
        done = len(list(Path(folder).glob("[0-9]*.npy")))
    if status == 3:
        message, name = json.loads(answer)
        raise DataError(message, path=name)
    raise DataError(
        "Expected pixels that can be decoded but their decoder failed: the file is damaged. Copy "
        "it again.",
        path=files[min(done, len(files) - 1)][1],
    )


def main() -> int:
    """Decode the files named on standard input into ``<folder>/<number>.npy``."""
    from data_prep.formats.dicom_files import read_header
    from data_prep.formats.dicom_slices import pixels

    folder = Path(sys.argv[1])
    try:
        for number, (path, name) in enumerate(json.load(sys.stdin)):
            array = pixels(read_header(Path(path), name, with_pixels=True), Path(path), name)
            # Renamed when it is whole: the number of files says how far the work came.
            np.save(folder / "part.npy", array, allow_pickle=False)
            os.replace(folder / "part.npy", folder / f"{number}.npy")
    except DataError as error:
        print(json.dumps([error.message, error.path]))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
