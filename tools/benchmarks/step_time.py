"""Time a training step and a prediction: plain, with attention, with the wrapper, cascades.

All variants live in one process and take turns, so that a busy machine slows them alike; medians
and ratios are over the rounds. Inputs are random, weights are untrained. FLOPs are those of matrix
products and convolutions as they are executed, counted by PyTorch.

    python tools/benchmarks/step_time.py --out-dir work_dirs/step_time
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]

from data_prep.atomic_files import write_json  # noqa: E402
from mmglan.experiments.shrink import TINY, shrink  # noqa: E402
from tools.benchmarks.step_time_parts import PeakMemory, plain_attention_in, table  # noqa: E402

MASK = "baselines/mask-rcnn_r50_fpn_160e_lesions.py"
CASCADE = "baselines/cascade-mask-rcnn_r50_fpn_160e_lesions.py"
VARIANTS = {  # name: config, naive attention, what it is compared with
    "stock": (MASK, False, "stock"),
    "naive attention": ("ablations/glan_r50_fpn_wo-uncertainty_160e_lesions.py", True, "stock"),
    "attention": ("ablations/glan_r50_fpn_wo-uncertainty_160e_lesions.py", False, "stock"),
    "attention + wrapper": ("glan/glan_r50_fpn_160e_lesions.py", False, "stock"),
    "cascade": (CASCADE, False, "cascade"),
    "cascade + both": ("glan/glan_cascade-mask-rcnn_r50_fpn_160e_lesions.py", False, "cascade"),
}


def main(argv: list[str] | None = None) -> int:
    """Command line; 0 if everything was measured."""
    args = parse_args(argv)
    init_default_scope("mmdet")
    MMLogger.get_current_instance().setLevel("WARNING")
    torch.set_num_threads(args.threads)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    names = [name for name in VARIANTS if not (args.no_cascade and "cascade" in name)]
    models = {name: build(name, args).to(device) for name in names}
    for name, model in models.items():  # the same weights give the same proposals
        model.load_state_dict(models[VARIANTS[name][2]].state_dict(), strict=False)
    modes = {"train": lambda model: train_step(model, args)}
    for proposals in args.proposals:
        modes[f"predict {proposals}"] = lambda model, n=proposals: predict(model, n, args)
    jobs = [(mode, name) for mode in modes for name in names]
    report = {"settings": settings(args, device), "variants": {name: {} for name in names}}

    with tqdm(total=len(jobs) * (args.rounds + 1), disable=args.quiet, file=sys.stderr) as bar:
        for mode, name in jobs:  # also the warm-up
            report["variants"][name][mode] = measure_once(models[name], modes[mode], device)
            bar.update()
        seconds = {job: [] for job in jobs}
        for _ in range(args.rounds):
            for mode, name in jobs:
                seconds[mode, name].append(timed(partial(modes[mode], models[name]), device))
                bar.update()
    for (mode, name), values in seconds.items():
        clock, cpu = zip(*values, strict=True)
        report["variants"][name][mode].update(
            seconds=statistics.median(clock),
            all_seconds=clock,
            cpu_seconds=statistics.median(cpu),
            all_cpu_seconds=cpu,
        )
    for name in names:
        report["variants"][name]["parameters"] = sum(p.numel() for p in models[name].parameters())
    report["wrapper_seconds"] = wrapper_seconds(models["attention + wrapper"], args, device)
    add_ratios(report)
    print(table(report))
    if args.out_dir:
        write_json(args.out_dir / "step_time.json", report, indent=1)
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the arguments; defaults are the reference setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="image side in pixels")
    parser.add_argument("--batch", type=int, default=2, help="images per batch")
    parser.add_argument("--rois", type=int, default=512, help="RoIs per image in training")
    parser.add_argument(
        "--proposals", type=int, nargs="+", default=[1000, 300], help="per image in prediction"
    )
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each variant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", help="default: a GPU where there is one")
    parser.add_argument("--no-cascade", action="store_true", help="leave the cascades out")
    parser.add_argument("--tiny", action="store_true", help="tiny networks, to test the tool")
    parser.add_argument("--out-dir", type=Path, help="where to write step_time.json")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(argv)


def build(name: str, args: argparse.Namespace) -> nn.Module:
    """Build an untrained model of a config, with its optimiser in `model.bench_optimizer`."""
    path, naive, _ = VARIANTS[name]
    config = Config.fromfile(ROOT / "configs" / path)
    if args.tiny:
        config = shrink(config, "data", TINY)
    for stage in as_list(config.model.train_cfg.rcnn):
        stage.sampler.num = args.rois
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(config.model))
    model.init_weights()
    if naive:
        plain_attention_in(model)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e-6, momentum=0.9
    )
    model.bench_optimizer = OptimWrapper(optimizer)
    return model


def make_batch(args: argparse.Namespace, seed: int = 0) -> dict:
    """Make random images with two square lesions each."""
    generator = torch.Generator().manual_seed(seed)
    side = args.size // 8
    shape = (args.size, args.size)
    boxes = torch.tensor([[side, side, 2 * side, 2 * side], [3 * side] * 2 + [5 * side] * 2])
    masks = torch.zeros(2, *shape, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    samples = []
    for _ in range(args.batch):
        sample = DetDataSample(
            metainfo=dict(img_id=0, img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(
            bboxes=HorizontalBoxes(boxes.float()),
            labels=torch.zeros(2, dtype=torch.long),
            masks=BitmapMasks(masks.numpy(), *shape),
        )
        samples.append(sample)
    images = [torch.rand(3, *shape, generator=generator) * 255 for _ in range(args.batch)]
    return dict(inputs=images, data_samples=samples)


def train_step(model: nn.Module, args: argparse.Namespace) -> None:
    """Run forward, backward and update, as a runner does."""
    torch.manual_seed(0)
    model.train()
    model.train_step(make_batch(args), model.bench_optimizer)


def predict(model: nn.Module, proposals: int, args: argparse.Namespace) -> None:
    """Predict with a set number of proposals per image, masks included."""
    model.eval()
    model.rpn_head.test_cfg.update(nms_pre=4 * proposals, max_per_img=proposals)
    with torch.no_grad():
        model.test_step(make_batch(args))


def timed(action: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Measure seconds on the clock, the device included, and CPU seconds of all threads."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start, cpu_start = time.perf_counter(), time.process_time()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, time.process_time() - cpu_start


def measure_once(model: nn.Module, action: Callable[[nn.Module], None], device) -> dict:
    """Measure what needs no repetition: FLOPs, RoIs seen by the first heads, peak memory."""
    counts = {}
    handles = []
    for key, heads in (("rois", model.roi_head.bbox_head), ("mask_rois", model.roi_head.mask_head)):

        def count(_, inputs, key=key) -> None:
            counts[key] = counts.get(key, 0) + len(inputs[0])

        handles.append(as_list(heads)[0].register_forward_pre_hook(count))
    with PeakMemory(device) as memory, FlopCounterMode(display=False) as counter:
        action(model)
    for handle in handles:
        handle.remove()
    return {
        "gflops": counter.get_total_flops() / 1e9,
        **counts,
        "peak_memory_mb": memory.peak_mb,
    }


def wrapper_seconds(model: nn.Module, args: argparse.Namespace, device: torch.device) -> float:
    """Measure the median time of the wrapper's part of a step, forward and backward."""
    model.train()
    data = model.data_preprocessor(make_batch(args), True)
    with torch.no_grad():
        losses = model.detector(**data, mode="loss")

    def action() -> None:
        fresh = copy.deepcopy(losses)
        for value in fresh.values():
            for tensor in as_list(value):
                tensor.requires_grad_()
        model.parse_losses(model.weigh(fresh))[0].backward()

    return statistics.median(timed(action, device)[0] for _ in range(20))


def add_ratios(report: dict) -> None:
    """Relate each variant to its plain one, in time and FLOPs, round by round if possible."""
    variants = report["variants"]
    for name, (_, _, base) in VARIANTS.items():
        for mode, result in variants.get(name, {}).items():
            if not isinstance(result, dict):
                continue
            other = variants[base][mode]
            pairs = zip(result["all_seconds"], other["all_seconds"], strict=True)
            result["time_ratio"] = result["seconds"] / other["seconds"]
            result["paired_ratio"] = statistics.median(a / b for a, b in pairs)
            result["cpu_ratio"] = result["cpu_seconds"] / other["cpu_seconds"]
            result["flops_ratio"] = result["gflops"] / other["gflops"]
    step = variants["attention + wrapper"]["train"]["seconds"]
    report["wrapper_share"] = report["wrapper_seconds"] / step


def settings(args: argparse.Namespace, device: torch.device) -> dict:
    """Describe what the numbers depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    kept = ("size", "batch", "rois", "proposals", "rounds", "threads", "tiny")
    return {**{key: getattr(args, key) for key in kept}, "device": name, "torch": torch.__version__}


def as_list(value) -> list:
    """Return the items of a list or module list, or a single value, as a list."""
    return list(value) if isinstance(value, list | tuple | nn.ModuleList) else [value]


if __name__ == "__main__":
    sys.exit(main())
