"""One process of two: ends while threads of gloo still hold its last tensors."""

import time

import torch
from torch import distributed as dist

import mmglan.engine.cpu_processes  # noqa: F401

rank = dist.get_rank()
slow_to_free = [[number] for number in range(3_000_000 * rank)]  # lengthens the interpreter's end
tensors = [torch.ones(100_000) for _ in range(20)]
works = [dist.all_reduce(tensor, async_op=True) for tensor in tensors]
if rank == 0:
    for work in works:
        work.wait()
    time.sleep(1)
del works, tensors
