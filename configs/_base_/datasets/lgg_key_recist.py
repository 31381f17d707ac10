"""lgg-key with RECIST boxes, for the rows "w/o pseudo mask"; the test is that of all rows."""

_base_ = "./lgg_key_detection.py"

train_dataloader = dict(dataset=dict(ann_file=_base_.annotations + "train_recist.json"))
val_dataloader = dict(dataset=dict(ann_file=_base_.annotations + "val_recist.json"))
val_evaluator = dict(ann_file=_base_.data_root + _base_.annotations + "val_recist.json")
