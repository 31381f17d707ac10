"""One process of a gloo group: gradients of each job, averaged over the processes."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def main(folder: Path, rank: int, world: int) -> None:
    """Run every job of `jobs.pt` on this process's share of its batch; save the gradients."""
    torch.set_num_threads(1)
    jobs = torch.load(folder / "jobs.pt", weights_only=False)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world
    )
    results = {}
    for name, job in jobs.items():
        model = job["model"]
        wrapped = DistributedDataParallel(model, find_unused_parameters=job["find_unused"])
        losses = wrapped(**job["shares"][rank], mode="loss")
        model.parse_losses(losses)[0].backward()
        results[name] = {n: p.grad for n, p in model.named_parameters()}
    torch.save(results, folder / f"grads{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
