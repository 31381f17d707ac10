"""Two processes train as one process does on the joint batch, through the commands, to rounding.

Losses of a RoI head are means over the RoIs of a process, so every image gets as many of them: one
lesion, which is its only positive RoI, and all proposals. Random draws are taken out: every anchor
counts and every proposal is sampled. Group norm sees one image at a time. What is left are the
order of the images, their augmentations, the clipping, the optimiser and the learned uncertainties.
"""

import json
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
CHANGES = """
norm_cfg = dict(type="GN", num_groups=8)
model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    roi_head=dict(attention=dict(norm_cfg=norm_cfg)),
    train_cfg=dict(
        rpn=dict(assigner=dict(neg_iou_thr=0.7, min_pos_iou=0.0), sampler=dict(num=100_000)),
        rcnn=dict(
            assigner=dict(pos_iou_thr=1.0, neg_iou_thr=1.0, min_pos_iou=1.0),
            sampler=dict(num=1000, pos_fraction=1.0),
        ),
    ),
)
train_cfg = dict(max_epochs=2, val_interval=3)
# A step of AdamW has the sign of a gradient, also of one that is nothing but rounding.
sgd = dict(_delete_=True, type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0)
optim_wrapper = dict(optimizer=sgd)
"""


def write_one_lesion_each(source: Path, target: Path, count: int) -> None:
    """Write the first images of an annotation file that have a lesion, with one lesion each."""
    content = json.loads(source.read_text())
    first = {lesion["image_id"]: lesion for lesion in reversed(content["annotations"])}
    content["annotations"] = [first[image] for image in sorted(first)[:count]]
    kept = {lesion["image_id"] for lesion in content["annotations"]}
    content["images"] = [image for image in content["images"] if image["id"] in kept]
    target.write_text(json.dumps(content))


def test_two_processes_end_with_the_weights_of_one(
    tiny_config, tiny_set, tmp_path, command_environment, free_port
):
    write_one_lesion_each(tiny_set / "annotations/train.json", tmp_path / "train.json", count=4)
    config = tmp_path / "joint_batch.py"
    data = f"train_dataloader = dict(dataset=dict(ann_file={str(tmp_path / 'train.json')!r}))"
    config.write_text(f"_base_ = {str(tiny_config)!r}\n{CHANGES}\n{data}\n")
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        command = [sys.executable, str(ROOT / "tools/train.py"), str(config)]
        if processes == 2:
            command = ["bash", str(ROOT / "tools/dist_train.sh"), str(config), "2"]
        command += ["--work-dir", str(folder), "--cfg-options"]
        command += [f"train_dataloader.batch_size={2 // processes}"]
        environment = {**command_environment, "PORT": free_port()}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(torch.load(folder / "epoch_2.pth", weights_only=False)["state_dict"])
    one, two = found
    assert (one["uncertainty.log_variance"].abs() > 0).all()  # each of the five tasks has learned
    for key, wanted in one.items():
        scale = max(wanted.abs().max().item(), 1e-3)
        assert (two[key] - wanted).abs().max().item() <= 1e-5 * scale, key
