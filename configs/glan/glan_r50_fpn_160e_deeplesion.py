"""Ours on DeepLesion (Table 6): boxes of all slices, stacked, FROC per sub-volume.

Data: docs/public_data.md. Of sub-volumes only boxes are known.
"""

_base_ = "./glan_r50_fpn_160e_lesions.py"

import os

data_root = os.environ.get("MMGLAN_DATA", "data/deeplesion/").rstrip("/") + "/"
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file="annotations/test_whole.json"))
test_evaluator = dict(
    ann_file=data_root + "annotations/test_whole.json",
    volumes_file=data_root + "annotations/volumes_test.json",
)
