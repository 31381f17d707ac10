"""Two gloo processes give the gradients of one process on the joint batch.

Every proposal is sampled. Our own head means over the RoIs of all processes, and its images carry
different numbers of boxes and of proposals; losses of MMDetection are means over what a process
sees, so that the two images of the cascade have the same boxes and proposals over different pixels.
Batch norms are frozen; SyncBN, the other exact way, has no CPU form.
"""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
OURS = "glan_r50_fpn_160e_lesions"
CASCADE = "glan_cascade-mask-rcnn_r50_fpn_160e_lesions"
ALL_TASKS = ("cls", "box", "mask")
JOBS = {  # config, tasks, variant, lesions of the second image (None: those of the first)
    "mask": (OURS, ALL_TASKS, "paper", 1),
    "mask, find unused": (OURS, ALL_TASKS, "paper", 1),
    "mask, lesions in one process only": (OURS, ALL_TASKS, "paper", 0),
    "mask, weights from the losses": (OURS, ALL_TASKS, "uw_so", 1),
    "cascade": (CASCADE, ("cls", "box"), "paper", None),
}
KEYS = dict(cls="loss_cls", box="loss_bbox", mask="loss_mask")


def make_model(zoo_config, build, stem, tasks, variant):
    config = zoo_config(stem).model
    config.rpn_head = None  # proposals come with the samples: the RPN samples at random
    config.tasks = {task: [KEYS[task], f"s?.{KEYS[task]}"] for task in tasks}
    config.variant = variant
    config.init_log_variance = [0.3, -0.4, 0.2][: len(tasks)]
    config.roi_head.attention.global_sizes = [1.0, 0.25]
    if "mask" not in tasks:
        config.roi_head.pop("mask_head")
    stages = config.train_cfg.rcnn
    for stage in stages if isinstance(stages, list) else [stages]:
        stage.sampler.update(num=100, pos_fraction=1.0)
    model = build(config).train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def make_data(batch, lesions):
    data = batch((2, 2), ((64, 64), (64, 64)))
    first, second = data["data_samples"]
    corner = torch.rand(30, 2, generator=torch.Generator().manual_seed(1)) * 40
    boxes = first.gt_instances.bboxes.tensor
    near = torch.cat([boxes + 2, boxes - 1])
    proposals = torch.cat([torch.cat([corner, corner + 15], dim=1), near])
    first.proposals = InstanceData(bboxes=proposals.clone())
    if lesions is None:
        second.gt_instances = copy.deepcopy(first.gt_instances)
        second.proposals = copy.deepcopy(first.proposals)
    else:
        second.gt_instances = second.gt_instances[:lesions]
        second.proposals = InstanceData(bboxes=proposals[:11].clone())
    return data


@pytest.fixture(scope="module")
def results(tmp_path_factory, zoo_config, build, batch):
    """Gradients by job: of one process on both images, and of each of two processes."""
    folder = tmp_path_factory.mktemp("ddp")
    jobs, single = {}, {}
    for name, (stem, tasks, variant, lesions) in JOBS.items():
        model = make_model(zoo_config, build, stem, tasks, variant)
        data = make_data(batch, lesions)
        both = model.data_preprocessor(data, True)
        shares = [
            dict(inputs=both["inputs"][i : i + 1], data_samples=both["data_samples"][i : i + 1])
            for i in range(2)
        ]
        jobs[name] = dict(
            model=copy.deepcopy(model),
            shares=copy.deepcopy(shares),
            find_unused="find unused" in name,
        )
        losses = model(**both, mode="loss")
        model.parse_losses(losses)[0].backward()
        single[name] = {n: p.grad for n, p in model.named_parameters()}
    torch.save(jobs, folder / "jobs.pt")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    worker = str(Path(__file__).with_name("ddp_worker.py"))
    processes = [
        subprocess.Popen([sys.executable, worker, str(folder), str(rank), "2"], env=environment)
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    return single, [torch.load(folder / f"grads{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", JOBS)
def test_gradients_of_two_processes_equal_those_of_one(name, results):
    single, by_rank = results
    expected = single[name]
    parts = {part for key in expected for part in key.split(".")}
    assert {"attention", "bbox_head"} <= parts
    assert ("uncertainty" in parts) == (JOBS[name][2] != "uw_so")
    for rank in range(2):
        for key, wanted in expected.items():
            actual = by_rank[rank][name][key]
            if any(part in key for part in ("attention", "uncertainty", "fc_cls")):
                assert wanted.abs().sum() > 0, key
            scale = max(1.0, wanted.abs().max().item())
            assert (actual - wanted).abs().max().item() <= 1e-5 * scale, key
