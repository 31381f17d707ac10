"""Evaluates COCO results with LesionMetric as one of several gloo processes.

Usage: evaluate_in_processes.py RANK WORLD_SIZE STORE ANN OUT RESULTS...

Images are shared out as MMEngine's sampler does: in turn, the first ones again at the end so that
every process has as many. Rank 0 writes OUT.<number of the results>.json and .metrics.json.
"""

import json
import sys

import torch
from mmdet.registry import METRICS
from torch import distributed

import mmglan.evaluation.lesion_metric  # noqa: F401 - registers the metric


def sample(image_id, rows):
    """What MMDetection hands to a metric for one image."""
    boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    found = {
        "bboxes": boxes,
        "scores": torch.tensor([row["score"] for row in rows], dtype=torch.float64),
        "labels": torch.zeros(len(rows), dtype=torch.long),
        "masks": [row["segmentation"] for row in rows],
    }
    return {"img_id": image_id, "pred_instances": found}


def evaluate(rank, world_size, ann, results, out):
    """Metrics of one results file; call it in every process."""
    with open(ann) as file:
        ids = [image["id"] for image in json.load(file)["images"]]
    with open(results) as file:
        rows = json.load(file)
    metric = METRICS.build(
        dict(type="LesionMetric", ann_file=str(ann), bootstrap=100, outfile_prefix=str(out))
    )
    padded = ids + ids[: -len(ids) % world_size]
    for image_id in padded[rank::world_size]:
        metric.process(None, [sample(image_id, [r for r in rows if r["image_id"] == image_id])])
    metrics = metric.evaluate(len(ids))
    if rank == 0:
        with open(f"{out}.json", "w") as file:
            json.dump(metrics, file)


def main(rank, world_size, store, ann, out, *results):
    """Starts gloo and evaluates every results file."""
    rank, world_size = int(rank), int(world_size)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=world_size
    )
    for number, path in enumerate(results):
        evaluate(rank, world_size, ann, path, f"{out}.{number}")
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
