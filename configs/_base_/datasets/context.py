"""Benchmark phantom at the paper's size: as lgg-key, with slices of 256 pixels.

`mmglan evidence` prepares the set (docs/evidence.md). MMGLAN_DATA names another folder, MMGLAN_FOLD
the fold.
"""

_base_ = "./lgg_key.py"

import os

# ---- what users change ----
data_root = os.environ.get("MMGLAN_DATA", "data/context/").rstrip("/") + "/"
image_scale = (256, 256)

# ---- what is best left alone ----
for _loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
    _base_[_loader].dataset.data_root = data_root
    for _step in _base_[_loader].dataset.pipeline:
        if _step.type == "Resize":
            _step.scale = image_scale
val_evaluator = dict(ann_file=data_root + _base_.annotations + "val.json")
test_evaluator = dict(
    ann_file=data_root + _base_.annotations + "test_whole.json",
    volumes_file=data_root + _base_.annotations + "volumes_test.json",
)
