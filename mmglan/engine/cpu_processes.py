"""Start several CPU processes: import this module by name in `custom_imports`.

MMEngine's launcher calls `torch.cuda.set_device`, which fails without CUDA. Its runner leaves
a process group alone that exists already, so this module starts gloo where a launcher
(`torchrun`, `torch.distributed.launch`) has set RANK and WORLD_SIZE and there is no GPU.
Everywhere else importing it does nothing.

It also ends the group before the interpreter does. PyTorch leaves that to the interpreter's end,
where a thread of gloo that lets go of its last tensor finds no interpreter any more and aborts the
process: exit status 134 after a training that is done.
"""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Mapping

import torch
from torch import distributed as dist


def should_start_gloo(environment: Mapping[str, str], has_cuda: bool) -> bool:
    """Tell whether a launcher started this process on a machine without a GPU.

    Args:
        environment: environment variables.
        has_cuda: whether torch sees a GPU.

    Returns:
        True if RANK, WORLD_SIZE and LOCAL_RANK are set and there is no GPU.
    """
    launched = all(name in environment for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return launched and not has_cuda


def start_gloo_if_needed() -> bool:
    """Start the gloo process group where `should_start_gloo` says so.

    Returns:
        True if this call started the group.
    """
    if not dist.is_available() or dist.is_initialized():
        return False
    if not should_start_gloo(os.environ, torch.cuda.is_available()):
        return False
    dist.init_process_group(backend="gloo")
    atexit.register(end_group)
    return True


def end_group() -> None:
    """End the process group and its threads, where there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()  # models of DistributedDataParallel hold it too, in cycles


start_gloo_if_needed()
