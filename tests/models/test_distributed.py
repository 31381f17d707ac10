"""Two gloo processes against one process.

Every proposal is sampled. Losses of the RoI heads are means over the RoIs that a process sees: with
the same boxes and proposals in both images (over different pixels) two processes have the
gradients of one process on the joint batch. With different ones they have the mean of the gradients
of each image, in which a task of the uncertainty loss counts for both images or for none.
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
    "mask": (OURS, ALL_TASKS, "paper", None),
    "mask, find unused": (OURS, ALL_TASKS, "paper", None),
    "mask, weights from the losses": (OURS, ALL_TASKS, "uw_so", None),
    "cascade": (CASCADE, ("cls", "box"), "paper", None),
    "mask, fewer lesions in one process": (OURS, ALL_TASKS, "paper", 1),
    "mask, lesions in one process only": (OURS, ALL_TASKS, "paper", 0),
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


def gradients(model, data):
    model.zero_grad()
    model.parse_losses(model(**copy.deepcopy(data), mode="loss"))[0].backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def mean_of_gradients(model, shares):
    """Of images seen one by one, with tasks weighed by the means of their losses."""
    raw = []
    with torch.no_grad():
        for share in shares:
            logs = model(**copy.deepcopy(share), mode="loss")
            raw.append(torch.stack([logs[f"raw_{task}"] for task in model.tasks]))
    assert (raw[0] > 0).all()
    with pytest.MonkeyPatch.context() as patch:
        mean = sum(raw) / len(raw)
        patch.setattr("mmglan.models.uncertainty_wrapper.reduce_mean", lambda losses: mean)
        found = [gradients(model, share) for share in shares]
    return {name: (found[0][name] + found[1][name]) / 2 for name in found[0]}


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
        if lesions is None:
            single[name] = gradients(model, both)
        else:
            single[name] = mean_of_gradients(model, shares)
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
def test_gradients_of_two_processes(name, results):
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
