"""How time and memory of `mmglan evaluate` grow with the number of images.

    python tools/benchmarks/evaluation_growth.py --images 5000 10000 --bootstrap 1000

Made-up results of 100 detections per image (half of the images have a lesion, 50 images a patient)
are written to a temporary folder and evaluated in a process of its own. CPU seconds and peak memory
are that process's.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

PER_IMAGE = 100


def write_set(folder: Path, n_images: int) -> list[str]:
    """Write annotations and results; return the command's arguments that name them."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    with open(folder / "results.json", "w") as stream:
        for number in range(n_images):
            images.append({"id": number, "patient_id": f"p{number // 50:06d}"})
            images[-1] |= {"width": 512, "height": 512, "spacing_mm": [0.8, 0.8]}
            boxes = np.hstack([rng.uniform(0, 460, (PER_IMAGE, 2)), rng.uniform(8, 40, (100, 2))])
            scores = rng.beta(0.3, 6, PER_IMAGE)
            if number % 2:
                lesion = boxes[0].copy()
                annotations.append(
                    {"id": number, "image_id": number, "bbox": lesion.tolist(), "category_id": 1}
                )
                boxes[:4] = lesion + rng.normal(0, 2, (4, 4))
                scores[:4] = rng.uniform(0.1, 1, 4)
            boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
            rows = (
                {"image_id": number, "category_id": 1, "bbox": box, "score": score}
                for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)
            )
            stream.write(("," if number else "[") + ",".join(map(json.dumps, rows)))
        stream.write("]")
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 1, "name": "lesion"}]
    (folder / "gt.json").write_text(json.dumps(content))
    return ["--gt", str(folder / "gt.json"), "--pred", str(folder / "results.json")]


def cost(n_images: int, bootstrap: int) -> tuple[float, float]:
    """Return CPU seconds and peak memory in GB of one evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = write_set(Path(folder), n_images)
        command = [sys.executable, "-m", "mmglan", "evaluate", *arguments, "--quiet"]
        command += ["--bootstrap", str(bootstrap)]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        if status:
            raise SystemExit("error: the evaluation failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def main(argv: Iterable[str] | None = None) -> int:
    """Print a line per number of images, and the exponent between neighbours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 10000])
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples (1000)")
    args = parser.parse_args(argv)
    found = []
    for count in args.images:
        found.append((count, *cost(count, args.bootstrap)))
        print("{} images: {:.1f} CPU s, {:.2f} GB".format(*found[-1]), flush=True)
    for (few, *small), (many, *large) in pairwise(found):
        exponents = [
            math.log(b / a) / math.log(many / few) for a, b in zip(small, large, strict=True)
        ]
        print("{} to {}: exponent {:.2f} in time, {:.2f} in memory".format(few, many, *exponents))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
