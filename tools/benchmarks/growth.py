"""How cost grows with the work: CPU seconds over growing sizes, and the exponent between them.

    python tools/benchmarks/growth.py

Linear work has exponent 1, quadratic work 2. The exponent is that of the two largest sizes, whose
times are the shortest of three; memory is the largest block that Python and NumPy held during the
largest size.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import SimpleITK as sitk

from data_prep import score_pseudo_masks
from data_prep.atomic_files import write_json
from data_prep.bookmarks.crossing_lines import pair_lines
from data_prep.dataset import checks
from data_prep.dataset.one_volume.volume_task import _fingerprint
from data_prep.pseudo_masks.clustered_mean import clustered_mean
from data_prep.volumes.search.volume_index import VolumeIndex
from mmglan.commands import evaluate, plot_detections
from mmglan.detections.coco_files import read_ground_truth
from mmglan.reporting.scalars import read_scalars

Work = Callable[[], Any]


def clusters(size: int, folder: Path) -> Work:
    """Prepare an interval over as many clusters."""
    values = np.random.default_rng(0).random(size)
    return lambda: clustered_mean(values, range(size), n_resamples=200)


def flat_headers(size: int, folder: Path) -> Work:
    """Prepare the state of as many volumes of two files each in one folder."""
    for number in range(size):
        for ending in ("mhd", "raw"):
            (folder / f"v{number:06d}.{ending}").touch()
    return lambda: [_fingerprint(str(folder), f"v{n:06d}.mhd") for n in range(size)]


def flat_volumes(size: int, folder: Path) -> Work:
    """Prepare a folder of as many volumes, each found by its name and with its mask."""
    for number in range(size):
        (folder / f"v{number:06d}.nii.gz").touch()

    def find() -> None:
        index = VolumeIndex(folder)
        for number in range(size):
            index.by_name(f"v{number:06d}_node1", "x")
            index.mask_of(f"v{number:06d}.nii.gz")

    return find


def crossing_lines(size: int, folder: Path) -> Work:
    """Prepare as many pairs of lines, far from each other as lesions are."""
    places = np.random.default_rng(0).uniform(0, 30 * size ** (1 / 3), (size, 1, 3))
    long, short = np.array([[-9, 0, 0], [9, 0, 0]]), np.array([[0, -5, 0], [0, 5, 0]])
    lines = [*(places + long), *(places + short)]
    return lambda: pair_lines(lines)


def annotations(size: int, folder: Path) -> Work:
    """Prepare an annotation file of as many slices with a lesion each, read and checked."""
    path = _coco(size, folder)

    def check() -> None:
        found = checks.CheckResult()
        checks.check_annotations({"test": checks.load(path)}, found)
        assert not found.problems, found.problems[:1]

    return check


def ground_truth(size: int, folder: Path) -> Work:
    """Prepare the same file for an evaluation."""
    path = _coco(size, folder)
    return lambda: read_ground_truth(path)


def scalars(size: int, folder: Path) -> Work:
    """Prepare a training log of as many lines."""
    path = folder / "scalars.json"
    path.write_text("".join(f'{{"loss": 1.0, "iter": {i}, "step": {i}}}\n' for i in range(size)))
    return lambda: read_scalars([path])


def predictions(size: int, folder: Path) -> Work:
    """Prepare 20 boxes on each of as many slices."""
    arguments = [*_results(size, 20, folder), "--bootstrap", "0", "--quiet"]
    return lambda: _run(evaluate.main, arguments)


def intervals(size: int, folder: Path) -> Work:
    """Prepare results of as many patients of one slice, to be resampled."""
    arguments = [*_results(size, 5, folder, slices=1), "--bootstrap", "100", "--quiet"]
    return lambda: _run(evaluate.main, arguments)


def sheet(size: int, folder: Path) -> Work:
    """Prepare as many slices with 20 boxes each, of which nine are drawn."""
    arguments = [*_results(size, 20, folder), "--images", str(folder / "images")]
    for number in range(size):
        path = folder / "images" / _file_name(number, 50)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    arguments += ["--out", str(folder / "sheet.png"), "--count", "9", "--quiet"]
    return lambda: _run(plot_detections.main, arguments)


def labels(size: int, folder: Path) -> Work:
    """Prepare a volume of slices with ten labels each, as many labels in all."""
    mask = np.zeros((max(1, size // 10), 48, 120), np.uint16)
    for label in range(len(mask) * 10):
        x = 4 + 12 * (label % 10)
        mask[label // 10, 20:26, x : x + 6] = label + 1
    image = np.random.default_rng(0).normal(100, 5, mask.shape) + 80 * (mask > 0)
    for name, array in (("images", image.astype(np.int16)), ("masks", mask)):
        (folder / name).mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / name / "case.nii"))
    arguments = ["--images", str(folder / "images"), "--masks", str(folder / "masks")]
    arguments += ["--instances", "--worst", "0", "--quiet", "--bootstrap", "1"]
    return lambda: _run(score_pseudo_masks.main, [*arguments, "--out-dir", str(folder / "out")])


def _run(main: Callable[[list[str]], int], arguments: list[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(arguments) == 0


def _file_name(number: int, slices: int) -> str:
    return f"v{number // slices:05d}/{number % slices:04d}.png"


def _results(size: int, boxes: int, folder: Path, slices: int = 50) -> list[str]:
    found = np.random.default_rng(0).integers(0, 40, (size, boxes, 2))
    results = [
        {"image_id": i, "category_id": 1, "bbox": [x, y, 9, 9], "score": ((i * 7 + k) % 97) / 97}
        for i in range(size)
        for k, (x, y) in enumerate(found[i].tolist())
    ]
    (folder / "pred.json").write_text(json.dumps(results))
    return ["--gt", str(_coco(size, folder, slices)), "--pred", str(folder / "pred.json")]


def _coco(size: int, folder: Path, slices: int = 50) -> Path:
    images = [
        {
            "id": i,
            "file_name": _file_name(i, slices),
            "width": 64,
            "height": 64,
            "patient_id": f"p{i // slices:05d}",
            "volume_id": f"v{i // slices:05d}",
            "slice_index": i % slices,
            "spacing_mm": [1.0, 1.0, 3.0],
        }
        for i in range(size)
    ]
    lesions = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [5, 5, 9, 9], "area": 81, "iscrowd": 0}
        for i in range(size)
    ]
    categories = [{"id": 1, "name": "lesion"}]
    content = {"images": images, "annotations": lesions, "categories": categories}
    return write_json(folder / "test.json", content)


WORK: dict[str, tuple[Callable[[int, Path], Work], int]] = {
    "score-masks: interval, clusters": (clusters, 20_000),
    "prepare: state of flat .mhd, volumes": (flat_headers, 10_000),
    "prepare: find flat volumes and masks": (flat_volumes, 10_000),
    "prepare: pairs of Slicer lines": (crossing_lines, 2_000),
    "verify: entries of slices": (annotations, 40_000),
    "evaluate: ground truth, slices": (ground_truth, 40_000),
    "evaluate: slices with 20 boxes": (predictions, 16_000),
    "evaluate: intervals, patients": (intervals, 16_000),
    "plot-detections: slices with 20 boxes": (sheet, 8_000),
    "score-masks: labels of a volume": (labels, 400),
    "report: training log, lines": (scalars, 40_000),
}


def measure(make: Callable[[int, Path], Work], size: int) -> tuple[float, float]:
    """Return the CPU seconds and the MiB of one size, measured apart."""
    with tempfile.TemporaryDirectory() as folder:
        work = make(size, Path(folder))
        seconds = min(_seconds(work) for _ in range(3))  # beside other work times vary by a tenth
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
    return seconds, peak


def _seconds(work: Work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 if a line grows faster than asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes (1)")
    parser.add_argument("--most", type=float, default=1.1, help="exponent that fails (1.1)")
    parser.add_argument("--only", default="", help="lines whose name holds this text")
    args = parser.parse_args(arguments)
    print("| work | sizes | CPU s | exponent | MiB | exponent |\n|---|---|---|---|---|---|")
    worst = 0.0
    for name, (make, largest) in WORK.items():
        if args.only not in name:
            continue
        sizes = [max(8, int(largest * args.scale * share)) for share in (0.125, 0.5, 1)]
        measured = [measure(make, size) for size in sizes]
        step = math.log(sizes[2] / sizes[1])
        times, peaks = zip(*measured, strict=True)
        growth = [math.log(max(p[2], 1e-9) / max(p[1], 1e-9)) / step for p in (times, peaks)]
        worst = max(worst, growth[0])
        shown = [" ".join(f"{v:.{d}f}" for v in part) for part, d in ((times, 2), (peaks, 1))]
        joined = " ".join(f"{size:,}".replace(",", " ") for size in sizes)
        print(
            f"| {name} | {joined} | {shown[0]} | {growth[0]:.2f} | {shown[1]} | {growth[1]:.2f} |"
        )
    return int(worst > args.most)


if __name__ == "__main__":
    sys.exit(main())
