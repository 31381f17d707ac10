"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

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


def die_with_launcher() -> None:
    """Ask the same where `torchrun` started this process; it kills its workers only if it can."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        die_with_parent(os.getppid())
