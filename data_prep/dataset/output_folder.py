"""The output folder of a run: which run owns it, atomic writes, and what is already done there.

A run states its options in `.state/run.json` before it writes anything else, so that a second
run can tell a rerun (which goes on where the first one stopped) from another run.
Every file appears under its name only when it is complete.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from data_prep.atomic_files import json_bytes, open_atomically, open_lock
from data_prep.errors import DataError
from data_prep.paths import check_no_link

STATE = ".state"


def write_output(out_dir: Path, relative: str, content: bytes) -> None:
    """Write `out_dir / relative` whole or not at all.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
    """
    with open_output(out_dir, relative, f"{len(content)} bytes") as stream:
        stream.write(content)


@contextmanager
def open_output(out_dir: Path, relative: str, what: str = "the file") -> Iterator[BinaryIO]:
    """Open a file as `write_output` does, for content (`what`) written inside `with`."""
    check_no_link(out_dir, Path(relative).parent)
    try:
        spare = Path(out_dir, STATE, "tmp")
        with open_atomically(Path(out_dir, relative), spare_folder=spare) as stream:
            yield stream
    except OSError as error:
        raise OutputError(
            f"Expected to write {what}, but got: {error.strerror or error}."
            " Free space or correct the permissions, then run the same command again; it goes on"
            " where it stopped.",
            path=relative,
        ) from None


class OutputError(DataError):
    """The output folder cannot take the output: no reason to try the next volume."""


class OutputFolder:
    """Claim `path` for one run.

    Args:
        path: The folder; made if absent.
        run: What identifies the run (options and inputs), JSON-able. Everything that changes
            the output belongs in it; the number of workers does not.
        overwrite: Throw away what an earlier run of ours left, if it was another run; None for a
            command without `--overwrite`.

    Raises:
        OutputError: The folder holds something else, belongs to another run, is in use by a
            running one, or cannot be written.
    """

    OURS = (
        *("images", "annotations", "overlays", "report.json"),
        *("errors.txt", "notes.txt", "bookmarks.png", STATE),
    )

    def __init__(
        self, path: str | Path, run: dict[str, Any], *, overwrite: bool | None = False
    ) -> None:
        self.path = Path(path)
        self._lock = None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # What `--check` left is no other data set.
            entries = sorted(e.name for e in self.path.iterdir() if e.name != "bookmarks.png")
        except OSError as error:
            raise OutputError(
                f"Expected a folder that can be written, but got: {error.strerror or error}."
                " Choose another --out-dir.",
                path=self.path.name,
            ) from None
        if STATE not in entries and entries:
            raise OutputError(
                f"Expected an empty output folder, but got one with {len(entries)} entries that"
                f" are not of an earlier run (such as {entries[0]!r}). Choose another"
                " --out-dir, or empty this one.",
                path=self.path.name,
            )
        for name in (
            *self.OURS[:3],
            STATE,
            f"{STATE}/volumes",
            f"{STATE}/tmp",
            f"{STATE}/run.json",
        ):
            check_no_link(self.path, name)
        self._acquire()
        self._claim(run, overwrite)
        self._remove_spare()

    def _acquire(self) -> None:
        """Hold a lock while the run lasts; the system drops it when the process ends."""
        try:
            (self.path / STATE).mkdir(exist_ok=True)
            self._lock = os.fdopen(open_lock(self.path / STATE / "lock"))
        except OSError as error:
            raise OutputError(
                f"Expected a folder that can be written, but got: {error.strerror or error}."
                " Choose another --out-dir, or correct its permissions.",
                path=self.path.name,
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                "Expected a folder that no other run is writing, but got one in use. Wait for"
                " that run, or choose another --out-dir.",
                path=self.path.name,
            ) from None
        except OSError:
            pass  # a file system without locks: go on without

    def _claim(self, run: dict[str, Any], overwrite: bool | None) -> None:
        statement = self.path / STATE / "run.json"
        wanted = json_bytes(run)
        different = self._differences(run) if statement.exists() else ""
        if different:
            if not overwrite:
                advice = ", or add --overwrite to replace the earlier run"
                raise OutputError(
                    f"Expected a run with the same options, but got {different}."
                    f" Choose another --out-dir{'' if overwrite is None else advice}.",
                    path=self.path.name,
                )
            for name in self.OURS:
                entry = self.path / name
                if name == STATE:
                    shutil.rmtree(entry / "volumes", ignore_errors=True)
                elif entry.is_dir():
                    shutil.rmtree(entry)
                elif entry.exists():
                    entry.unlink()
            statement.unlink()
        if not statement.exists():
            write_output(self.path, f"{STATE}/run.json", wanted)

    def _differences(self, run: dict[str, Any]) -> str:
        """Say how the options differ; an option that an earlier version had not counts as None."""
        try:
            earlier = json.loads((self.path / STATE / "run.json").read_bytes())
        except ValueError:
            return "an unreadable .state/run.json"
        run = json.loads(json_bytes(run))
        changed = [
            f"{key} {earlier.get(key)!r} there and {run.get(key)!r} here"
            for key in sorted(set(earlier) | set(run))
            if earlier.get(key) != run.get(key)
        ]
        return "; ".join(changed)

    def _remove_spare(self) -> None:
        """Drop half-written files of a run that was killed."""
        shutil.rmtree(self.path / STATE / "tmp", ignore_errors=True)

    def write(self, relative: str, content: bytes) -> None:
        """See `write_output`."""
        write_output(self.path, relative, content)

    def stream(self, relative: str) -> AbstractContextManager[BinaryIO]:
        """See `open_output`."""
        return open_output(self.path, relative)

    def close(self) -> None:
        """Release the folder."""
        self._remove_spare()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
