"""Ours on the abdominal TCIA CT Lymph Nodes (Table 4, AP10), trained on voxel masks.

Data and folds: docs/public_data.md. MMGLAN_FOLD names the fold; `.` for a set without folds.
"""

_base_ = "./glan_r50_fpn_160e_lesions.py"

import os

data_root = os.environ.get("MMGLAN_DATA", "data/tcia-abdomen/").rstrip("/") + "/"
annotations = "annotations/{{$MMGLAN_FOLD:fold0}}/"
train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file=annotations + "train_truth.json")
)
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file=annotations + "val_truth.json"))
val_evaluator = dict(ann_file=data_root + annotations + "val_truth.json")
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file=annotations + "test_whole.json"))
test_evaluator = dict(
    ann_file=data_root + annotations + "test_whole.json",
    volumes_file=data_root + annotations + "volumes_test.json",
)
