"""Ours, tested on slices of volumes with voxel masks: the paper's 3D volume test set.

Prepare that set with --masks into a folder of its own; training is on the bookmarks as ever.
"""

_base_ = "./glan_r50_fpn_160e_lesions.py"

import os

volumes_root = os.environ.get("MMGLAN_VOLUMES", "data/volumes/").rstrip("/") + "/"
test_dataloader = dict(dataset=dict(data_root=volumes_root, ann_file="annotations/test_truth.json"))
test_evaluator = dict(ann_file=volumes_root + "annotations/test_truth.json")
