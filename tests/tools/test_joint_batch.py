"""Two processes train as one process does on the joint batch, through the tools, to rounding.

Random draws are taken out: every anchor counts and every proposal is sampled. Group norm sees one
image at a time. What is left are the order of the images, their augmentations, the means of the
losses over both processes, the clipping, the optimiser and the learned uncertainties.
"""

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
        rcnn=dict(sampler=dict(num=1000, pos_fraction=1.0)),
    ),
)
train_dataloader = dict(dataset=dict(indices=6))
train_cfg = dict(max_epochs=2, val_interval=3)
# A step of AdamW has the sign of a gradient, also of one that is nothing but rounding.
sgd = dict(_delete_=True, type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0)
optim_wrapper = dict(optimizer=sgd)
"""


def test_two_processes_end_with_the_weights_of_one(
    tiny_config, tmp_path, command_environment, free_port
):
    config = tmp_path / "joint_batch.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\n{CHANGES}")
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
