"""Time FROC and the whole metric on a large random test set, against a plain loop.

Examples:
    python tools/benchmarks/froc_speed.py --volumes 800 --predictions 200 --bootstrap 1000
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from data_prep.atomic_files import write_json
from mmglan.evaluation.detection_sets.detection_set_3d import detection_set_of_boxes
from mmglan.evaluation.evaluate import evaluate_detections
from mmglan.evaluation.froc import FROC_FPS, froc


def random_set(volumes: int, predictions: int, seed: int):
    """Draw 3D boxes as in DeepLesion: 1 to 12 lesions per volume, half the boxes near one."""
    rng = np.random.default_rng(seed)
    gt, found = [], []
    for _ in range(volumes):
        low = rng.uniform([60, 60, 0], [440, 440, 50], (rng.integers(1, 13), 3))
        lesions = np.hstack([low, low + rng.uniform([8, 8, 2], [60, 60, 12], low.shape)])
        near = lesions[rng.integers(0, len(lesions), predictions // 2)]
        near = near + rng.normal(0, 1, near.shape) * [5, 5, 1, 5, 5, 1]
        low = rng.uniform([20, 20, 0], [480, 480, 58], (predictions - len(near), 3))
        far = np.hstack([low, low + rng.uniform([8, 8, 2], [60, 60, 12], low.shape)])
        boxes = np.vstack([near, far])
        boxes[:, 3:] = np.maximum(boxes[:, 3:], boxes[:, :3] + 1)
        scores = np.concatenate([rng.beta(2, 3, len(near)), rng.beta(1, 5, len(far))])
        gt.append(lesions)
        found.append(np.column_stack([boxes, scores]))
    return found, gt


def plain_loop(predictions, gt, threshold: float, fps):
    """Compute FROC with one Python step per detection, each against the lesions of its volume."""
    rows = np.vstack(predictions)
    volume = np.repeat(np.arange(len(predictions)), [len(boxes) for boxes in predictions])
    found = [np.zeros(len(lesions), dtype=bool) for lesions in gt]
    hits = misses = 0
    sensitivity, false = [], []
    for index in np.argsort(-rows[:, 6], kind="stable"):
        box, lesions = rows[index], gt[volume[index]]
        sides = np.minimum(box[3:6], lesions[:, 3:]) - np.maximum(box[:3], lesions[:, :3])
        common = np.maximum(sides, 0).prod(axis=1)
        union = (
            (box[3:6] - box[:3]).prod() + (lesions[:, 3:] - lesions[:, :3]).prod(axis=1) - common
        )
        enough = common / union >= threshold
        if enough.any():
            new = enough & ~found[volume[index]]
            hits += int(new.sum())
            found[volume[index]] |= new
        else:
            misses += 1
        sensitivity.append(hits)
        false.append(misses)
    curve = np.array(false) / len(gt), np.array(sensitivity) / sum(map(len, gt))
    return np.interp(fps, *curve, left=0.0)


def measure(volumes: int, predictions: int, bootstrap: int, repeats: int, seed: int = 0) -> dict:
    """Run both and compare them.

    Returns:
        dict: Seconds of each part, the ratio, and whether the values are identical.
    """
    found, gt = random_set(volumes, predictions, seed)
    expected, loop = timed(lambda: plain_loop(found, gt, 0.25, FROC_FPS))
    runs = [
        timed(lambda: froc(found, gt, threshold=0.25, dims=3).at(FROC_FPS)) for _ in range(repeats)
    ]
    fast = {clock: min(seconds[clock] for _, seconds in runs) for clock in loop}

    def whole_metric():
        boxes = np.vstack(gt)
        short_axis = (boxes[:, 3:5] - boxes[:, :2]).min(axis=1)
        volumes_set = detection_set_of_boxes(found, gt, np.arange(volumes), short_axis, ("iobb",))
        return evaluate_detections([volumes_set], "deeplesion", bootstrap=bootstrap)

    record, whole = timed(whole_metric)
    return {
        "volumes": volumes,
        "predictions_per_volume": predictions,
        "lesions": sum(map(len, gt)),
        "plain_loop_s": loop["wall"],
        "froc_s": fast["wall"],
        "times_faster": loop["wall"] / fast["wall"],
        "times_faster_in_cpu_time": loop["cpu"] / fast["cpu"],
        "identical": all(np.array_equal(values, expected) for values, _ in runs),
        "whole_metric_s": whole["wall"],
        "whole_metric_cpu_s": whole["cpu"],
        "bootstrap": bootstrap,
        "metrics": len(record.by_name()),
    }


def timed(function):
    """Return the result of a function, its wall time and its processor time in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def main(argv: list[str] | None = None) -> int:
    """Command line; exit status 1 if the values differ."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--volumes", type=int, default=800)
    parser.add_argument("--predictions", type=int, default=200, help="per volume")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples of patients")
    parser.add_argument("--repeats", type=int, default=5, help="the best time counts")
    parser.add_argument("--out", help="write the numbers to this JSON file")
    args = parser.parse_args(argv)
    numbers = measure(args.volumes, args.predictions, args.bootstrap, args.repeats)
    for name, value in numbers.items():
        print(f"{name:24s} {value:.4g}" if isinstance(value, float) else f"{name:24s} {value}")
    if args.out:
        write_json(args.out, numbers)
    return 0 if numbers["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
