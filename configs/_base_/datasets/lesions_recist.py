"""Slices with RECIST boxes, for the rows "w/o pseudo mask".

Training and the choice of the checkpoint see RECIST boxes only; the test split is the one that
every other row is tested on.
"""

_base_ = "./lesions_detection.py"

train_dataloader = dict(dataset=dict(ann_file="annotations/train_recist.json"))
val_dataloader = dict(dataset=dict(ann_file="annotations/val_recist.json"))
val_evaluator = dict(ann_file=_base_.data_root + "annotations/val_recist.json")
