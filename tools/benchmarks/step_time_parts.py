"""Parts of the step time benchmark: the plain attention, peak memory, and the table."""

from __future__ import annotations

import ctypes
import gc
import threading
import types
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmglan.models import GlobalLocalAttention

STATM = Path("/proc/self/statm")
PAGE_MB = 4096 / 2**20


def plain_attention_in(model: nn.Module) -> None:
    """Replace every attention of a model by the plain form of the same function.

    Whole-image features are still pooled once per image, but then copied to every RoI and
    convolved there, in one convolution over all scales.
    """
    for module in model.modules():
        if isinstance(module, GlobalLocalAttention):
            module.forward = types.MethodType(_plain_forward, module)


def _plain_forward(attention, local: Tensor, global_feats: list[Tensor], index: Tensor) -> Tensor:
    scales = [local]
    for size, feats in zip(attention.global_sizes, global_feats, strict=True):
        scales.append(feats[index] if size == 1 else feats)
    hidden = F.relu(attention.norm(attention.conv1(torch.cat(scales, dim=1))), inplace=True)
    weights = attention.conv2(hidden).softmax(dim=1)
    return sum(weights[:, s, None] * scale for s, scale in enumerate(scales))


class PeakMemory:
    """Peak of the memory in use during a block, above what was in use before it.

    On a GPU that is what PyTorch has allocated; on a CPU the resident memory of the process,
    looked at every few milliseconds (Linux; elsewhere None).

    Attributes:
        peak_mb: MB of 2**20 bytes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak_mb: float | None = None

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        elif STATM.exists():
            give_back_free_memory()
            self._before = self._peak = resident_pages()
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device)
            self.peak_mb = (peak - self._before) / 2**20
        elif STATM.exists():
            self._stop.set()
            self._thread.join()
            self.peak_mb = (self._peak - self._before) * PAGE_MB

    def _watch(self) -> None:
        while not self._stop.wait(0.003):
            self._peak = max(self._peak, resident_pages())


def give_back_free_memory() -> None:
    """Return what the allocator keeps for later, so that it does not hide what a block needs."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def resident_pages() -> int:
    """Count the pages of this process in memory."""
    return int(STATM.read_text().split()[1])


def table(report: dict) -> str:
    """Format the report: one block per mode, one row per variant."""
    settings = report["settings"]
    lines = ["{device}, {threads} threads, {size} x {size} px, batch {batch}".format(**settings)]
    modes = [mode for mode in report["variants"]["stock"] if mode != "parameters"]
    widths = [9, 7, 8, 8, 7, 7, 9, 7, 7]
    titles = ["seconds", "ratio", "paired", "CPU s", "ratio", "FLOPs", "GFLOP", "masks", "MB"]
    head = " " * 22 + "".join(map("{:>{}}".format, titles, widths))
    for mode in modes:
        rois = report["variants"]["stock"][mode]["rois"]
        lines += ["", f"{mode} ({rois} RoIs)", head]
        for name, results in report["variants"].items():
            row = results[mode]
            memory = row["peak_memory_mb"]
            lines.append(
                f"{name:22}{row['seconds']:9.3f}{row['time_ratio']:7.3f}"
                f"{row['paired_ratio']:8.3f}{row['cpu_seconds']:8.2f}{row['cpu_ratio']:7.3f}"
                f"{row['flops_ratio']:7.3f}{row['gflops']:9.0f}"
                f"{row.get('mask_rois', 0):7}"
                + (f"{memory:7.0f}" if memory is not None else f"{'-':>7}")
            )
    lines += ["", "parameters"]
    for name, results in report["variants"].items():
        lines.append(f"{name:22}{results['parameters'] / 1e6:9.2f} M")
    lines.append(
        f"\nwrapper alone: {report['wrapper_seconds'] * 1e3:.2f} ms, "
        f"{report['wrapper_share']:.2%} of a training step"
    )
    return "\n".join(lines)
