"""Run one step of every config on a GPU and compare the losses with those of the CPU.

    python tools/benchmarks/gpu_check.py --data-root data/lesions --out work_dirs/gpu_check.json

Each config in its small form, same weights, same batch: losses on the CPU, on the GPU in float32
(TF32 off), and with mixed precision; then a backward pass, after which every trainable parameter
must have a finite gradient. With --ddp the same step runs in one process per GPU under
DistributedDataParallel, SyncBN configs with their own layers. RoI sampling draws at random: seeds
are set before each forward pass, and a config whose draws differ between devices is told apart by
`--rtol`. Exit status 1 if a config fails or differs. --device cpu compares the CPU with itself.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import nn

from data_prep.atomic_files import write_json
from mmglan.experiments.shrink import shrink
from mmglan.shipped_files import shipped_configs

COMPARED = ("fp32", "amp")


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 if every config passed."""
    args = parse_args(argv)
    init_default_scope("mmdet")
    MMLogger.get_current_instance().setLevel("ERROR")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    os.environ.setdefault("MMGLAN_FOLD", ".")
    rows = []
    for name, path in shipped_configs().items():
        if args.configs and name not in args.configs:
            continue
        row: dict[str, Any] = {"config": name, "device": args.device}
        try:
            row |= compare(path, args)
        except Exception as error:  # the other configs are still to be tried
            row["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        row["passed"] = passed(row, args)
        rows.append(row)
        print(f"{'ok  ' if row['passed'] else 'FAIL'} {name} {row.get('error', '')}", flush=True)
    write_json(args.out, {"torch": torch.__version__, "rows": rows})
    failed = sum(not row["passed"] for row in rows)
    print(f"{len(rows) - failed} of {len(rows)} configs passed. Written to {args.out}")
    return 1 if failed or not rows else 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-root",
        required=True,
        help="data set of prepare --masks --normalize window:-1024,3071",
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the losses")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--configs", nargs="+", help="names; default: all")
    parser.add_argument("--ddp", action="store_true", help="also one process per GPU")
    parser.add_argument("--rtol", type=float, default=1e-3, help="float32 against the CPU (1e-3)")
    parser.add_argument("--amp-rtol", type=float, default=0.05, help="mixed precision (0.05)")
    return parser.parse_args(argv)


def compare(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return the losses of one config on both devices and in both precisions."""
    cfg, batch = small_batch(path, args.data_root)
    model = build(cfg, sync=False)
    found = {"cpu": loss_of(model, batch, "cpu", amp=False)}
    model = model.to(args.device)
    found["fp32"] = loss_of(model, batch, args.device, amp=False)
    missing = [
        name
        for name, value in model.named_parameters()
        if value.requires_grad and (value.grad is None or not torch.isfinite(value.grad).all())
    ]
    if missing:
        found["error"] = f"no finite gradient for {missing[0]} and {len(missing) - 1} others"
    # MMCV's operators for the CPU take float32 only.
    found["amp"] = None if args.device == "cpu" else loss_of(model, batch, args.device, amp=True)
    if args.ddp:
        world = torch.cuda.device_count()
        results = mp.get_context("spawn").Manager().dict()
        mp.spawn(ddp_step, (world, str(path), args.data_root, results), nprocs=world)
        found["ddp"] = [results[rank] for rank in range(world)]
    return found


def small_batch(path: Path, data_root: str) -> tuple[Config, dict]:
    """Return the small form of a config and two slices with lesions."""
    cfg = shrink(Config.fromfile(path), data_root)
    data = DATASETS.build(cfg.train_dataloader.dataset)
    filled = [i for i in range(len(data)) if data.get_data_info(i)["instances"]][:2]
    torch.manual_seed(0)
    return cfg, pseudo_collate([data[i] for i in filled])


def build(cfg: Config, *, sync: bool) -> nn.Module:
    """Build the model with seeded weights; `sync` keeps SyncBN, which has no CPU form."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return (model if sync else revert_sync_batchnorm(model)).train()


def loss_of(model: nn.Module, batch: dict, device: str, *, amp: bool) -> float:
    """Return the total loss of one step, gradients included."""
    model.zero_grad()
    torch.manual_seed(0)
    with torch.autocast(torch.device(device).type, enabled=amp):
        data = getattr(model, "module", model).data_preprocessor(batch, True)
        losses = model(**data, mode="loss")
    total, _ = getattr(model, "module", model).parse_losses(losses)
    total.backward()
    return float(total)


def ddp_step(rank: int, world: int, path: str, data_root: str, results: Any) -> None:
    """Run one step as one of several processes."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
    init_default_scope("mmdet")
    torch.cuda.set_device(rank)
    torch.distributed.init_process_group("nccl", rank=rank, world_size=world)
    cfg, batch = small_batch(Path(path), data_root)
    model = build(cfg, sync=True).to(f"cuda:{rank}")
    model = nn.parallel.DistributedDataParallel(model, device_ids=[rank])
    results[rank] = loss_of(model, batch, f"cuda:{rank}", amp=False)
    torch.distributed.destroy_process_group()


def passed(row: dict[str, Any], args: argparse.Namespace) -> bool:
    """Tell whether all losses are finite and agree with that of the CPU."""
    if "error" in row:
        return False
    limits = {"fp32": args.rtol, "amp": args.amp_rtol}
    near = all(
        math.isclose(row[name], row["cpu"], rel_tol=limits[name], abs_tol=limits[name])
        for name in COMPARED
        if row[name] is not None
    )
    return near and all(map(math.isfinite, row.get("ddp", [])))


if __name__ == "__main__":
    sys.exit(main())
