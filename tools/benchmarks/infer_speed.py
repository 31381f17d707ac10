"""Time detection on a volume: against MMDetection's DetInferencer, and what the network takes.

Three ways take turns on the same slices, with the same weights and threads:

- MMDetection's `DetInferencer`, slice by slice;
- a bare loop over `model.test_step`, on batches that were prepared before;
- `SliceDetector`, as `mmglan infer` uses it.

Then whole scans go from their files to the files of their findings as in `mmglan infer`, one alone
and several in a run, with the share of the time that is spent in the network, and each of several
depths in a process of its own, with its peak memory.

    python tools/benchmarks/infer_speed.py --config CONFIG --checkpoint CHECKPOINT
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from mmdet.apis import DetInferencer
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from data_prep.atomic_files import write_json
from data_prep.dataset.one_volume.slice_selection import Slices
from data_prep.phantoms.abdomen import write_dataset
from data_prep.volumes.volume import read_volume
from mmglan.inference.detector_model import DetectorModel, load_detector_model
from mmglan.inference.scan_job import DetectorOptions, ScanTask, detector_of, run_scans
from mmglan.inference.slice_detector import SliceDetector
from mmglan.inference.volume_detector import VolumeDetector
from mmglan.shipped_files import find_config

THRESHOLD = 0.3


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config", default="mask-rcnn_mnv2_fpn_20e_lgg-key")
    add("--checkpoint", help="default: untrained weights")
    add("--scan", type=Path, help="default: a phantom")
    add("--slices", type=int, default=24, help="of the scan that are timed (default 24)")
    add("--size", type=int, default=256, help="of the phantom's slices, pixels (default 256)")
    add("--depths", type=int, nargs="*", default=[20, 200, 1000], help="for the peak memory")
    add("--scans", type=int, default=4, help="whole scans of a run (default 4)")
    add("--rounds", type=int, default=3)
    add("--threads", type=int, default=2)
    add("--batch-size", type=int, default=8)
    add("--out", type=Path, help="JSON file of all numbers")
    add("--only-memory", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    if args.only_memory:
        print(json.dumps(peak_memory(load_detector_model(args.config, args.checkpoint), args)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        args.checkpoint = args.checkpoint or untrained(args.config, Path(folder))
        model = load_detector_model(args.config, args.checkpoint)
        array = read_volume(args.scan or phantom(Path(folder), args.size)).array[: args.slices]
        report = speed(model, array, args)
        report["scans"] = whole_scans(array, Path(folder), args)
        report["memory"] = [memory_of(depth, args) for depth in args.depths]
    if args.out:
        write_json(args.out, report, indent=1)
    return 0


def phantom(folder: Path, size: int) -> Path:
    """Write a phantom scan and return its path."""
    write_dataset(folder, 1, seed=0, shape=(32, size, size))
    return next((folder / "images").glob("*.nii.gz"))


def untrained(config: str, folder: Path) -> str:
    """Write a checkpoint of random weights."""
    init_default_scope("mmdet")
    torch.manual_seed(0)
    network = MODELS.build(Config.fromfile(find_config(config)).model)
    torch.save(network.state_dict(), folder / "untrained.pth")
    return str(folder / "untrained.pth")


def speed(model: DetectorModel, array: np.ndarray, args: argparse.Namespace) -> dict[str, Any]:
    """Time the three ways, which take turns, and compare what they find."""
    ours = SliceDetector(model, batch_size=args.batch_size, min_score=THRESHOLD)
    ways = {
        "DetInferencer": inferencer(model, array, args),
        "test_step": bare_loop(model, array),
        "SliceDetector": lambda: list(ours.detect(array)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for number in range(args.rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            found[name] = way()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    rates = {name: len(array) / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:14} {rate:8.2f} slices per second")
    ratio = rates["SliceDetector"] / rates["DetInferencer"]
    difference = largest_difference(found["DetInferencer"], found["SliceDetector"])
    print(f"SliceDetector / DetInferencer: {ratio:.2f}; largest difference of a box or a score of")
    print(f"at least {THRESHOLD}: {difference[0]:.2g} pixels, {difference[1]:.2g}")
    return {"slices_per_second": rates, "seconds": seconds, "ratio": ratio, "same": difference}


def inferencer(model: DetectorModel, array: np.ndarray, args: argparse.Namespace) -> Callable:
    """Return a run of MMDetection's own inference, one slice after the other."""
    logging.disable(logging.WARNING)
    path = str(find_config(args.config))
    stock = DetInferencer(model=path, weights=args.checkpoint, device="cpu", show_progress=False)
    slices = Slices(array, model.normalize)

    def run():
        found = []
        for z in range(len(array)):
            given = slices.normalized(z)
            result = stock(given, return_datasamples=True, no_save_vis=True)["predictions"][0]
            found.append(plain(result.pred_instances))
        return found

    return run


def bare_loop(model: DetectorModel, array: np.ndarray) -> Callable:
    """Return a loop over `test_step` with slices that are prepared already, one at a time."""
    detector = SliceDetector(model)
    slices = Slices(array, model.normalize)
    batches = [detector.prepare(slices, [z], len(array)) for z in range(len(array))]

    def run():
        with torch.inference_mode():
            return [detector.network.test_step(copy_of(batch)) for batch in batches]

    return run


def copy_of(batch: dict) -> dict:
    """Copy the parts of a batch that a detector changes."""
    return {
        "inputs": list(batch["inputs"]),
        "data_samples": [sample.clone() for sample in batch["data_samples"]],
    }


def plain(instances: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes and scores of at least `THRESHOLD`."""
    keep = instances.scores >= THRESHOLD
    return instances.bboxes[keep].numpy(), instances.scores[keep].numpy()


def largest_difference(stock: list, ours: list) -> tuple[float, float]:
    """Return the largest difference of boxes and scores; infinite where their number differs."""
    box = score = 0.0
    for (boxes, scores), (_, found) in zip(stock, ours, strict=True):
        if len(scores) != len(found.scores):
            return float("inf"), float("inf")
        if len(scores):
            box = max(box, float(np.abs(boxes - found.boxes).max()))
            score = max(score, float(np.abs(scores - found.scores).max()))
    return box, score


def whole_scans(array: np.ndarray, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Time scans from their files to those of their findings: one alone, and several in a run."""
    path = folder / "scan.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    options = DetectorOptions((args.config,), args.checkpoint, THRESHOLD)
    options = replace(options, batch_size=args.batch_size)
    network = detector_of(options).slices.network
    spent = [0.0]
    step = network.test_step

    def timed(batch):
        began = time.perf_counter()
        try:
            return step(batch)
        finally:
            spent[0] += time.perf_counter() - began

    network.test_step = timed
    task = ScanTask(folder, path.name, "v0001", folder / "findings", options)
    report = {}
    for scans in sorted({1, args.scans}):
        tasks = [replace(task, volume_id=f"v{number:04d}") for number in range(scans)]
        shares, total = [], []
        for _ in range(args.rounds + 1):
            spent[0], began = 0.0, time.perf_counter()
            failed = [outcome.error for outcome in run_scans(tasks) if outcome.error]
            total.append(time.perf_counter() - began)
            if failed:
                raise SystemExit(f"error: {failed[0]}")
            shares.append(spent[0] / total[-1])
            shutil.rmtree(task.out_dir)
        share = statistics.median(shares[1:])
        rate = scans * len(array) / statistics.median(total[1:])
        print(
            f"files to files, scans: {scans:2} {rate:8.2f} slices per second, "
            f"{100 * share:.0f} % in the network"
        )
        report[scans] = {"network_share": share, "slices_per_second": rate, "shares": shares[1:]}
    network.test_step = step
    return report


def memory_of(depth: int, args: argparse.Namespace) -> dict[str, Any]:
    """Run `peak_memory` in a process of its own, on a scan of noise."""
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        array = random.integers(0, 900, (depth, args.size, args.size), dtype=np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(array), f"{folder}/scan.nii")
        command = [sys.executable, __file__, "--only-memory", "--scan", f"{folder}/scan.nii"]
        command += ["--config", args.config, "--checkpoint", args.checkpoint]
        command += ["--threads", str(args.threads), "--batch-size", str(args.batch_size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{depth:5} slices: peak memory {found['peak_mib']:.0f} MiB, of these the scan "
        f"{found['scan_mib']:.0f} MiB"
    )
    return {"depth": depth, **found}


def peak_memory(model: DetectorModel, args: argparse.Namespace) -> dict[str, Any]:
    """Detect in a scan and return the peak memory of this process."""
    slices = SliceDetector(model, batch_size=args.batch_size, min_score=THRESHOLD / 2)
    findings = VolumeDetector.of(slices, threshold=THRESHOLD).detect(args.scan)
    # Of this program alone (Linux): `resource` also counts what the starting process held.
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    peak = int(status["VmHWM"].split()[0]) / 1024
    return {"peak_mib": peak, "scan_mib": float(np.prod(findings.geometry.shape_zyx)) / 2**19}


if __name__ == "__main__":
    sys.exit(main())
