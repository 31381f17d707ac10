"""Benchmark lgg-key: training on key slices, test on every slice of other patients, 2D and 3D.

`mmglan evidence` prepares the set (docs/evidence.md). MMGLAN_DATA names another folder, MMGLAN_FOLD
the fold. Slices are 128 pixels long.
"""

_base_ = "./lesions_instance.py"

import os

# ---- what users change ----
data_root = os.environ.get("MMGLAN_DATA", "data/lgg-key/").rstrip("/") + "/"
image_scale = (128, 128)
num_workers = 0

# ---- what is best left alone ----
annotations = "annotations/{{$MMGLAN_FOLD:fold0}}/"
for _loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
    for _step in _base_[_loader].dataset.pipeline:
        if _step.type == "Resize":
            _step.scale = image_scale
train_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(data_root=data_root, ann_file=annotations + "train.json"),
)
val_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(data_root=data_root, ann_file=annotations + "val.json"),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=num_workers,
    dataset=dict(data_root=data_root, ann_file=annotations + "test_whole.json"),
)
val_evaluator = dict(ann_file=data_root + annotations + "val.json")
test_evaluator = dict(
    ann_file=data_root + annotations + "test_whole.json",
    volumes_file=data_root + annotations + "volumes_test.json",
    bootstrap=0,
)
