"""Ours on the mediastinal TCIA CT Lymph Nodes (Table 4, AP10); data: docs/zoo.md."""

import os

_base_ = "./glan_r50_fpn_160e_lesions.py"

data_root = os.environ.get("MMGLAN_DATA", "data/tcia-mediastinum/").rstrip("/") + "/"
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + "annotations/val.json")
test_dataloader = dict(dataset=dict(data_root=data_root))
test_evaluator = dict(ann_file=data_root + "annotations/test.json")
