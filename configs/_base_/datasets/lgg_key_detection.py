"""lgg-key with boxes only: those of the pseudo masks."""

_base_ = "./lgg_key.py"

_base_.train_dataloader.dataset.pipeline[1].with_mask = False
val_evaluator = dict(iou_types=("bbox",))
test_evaluator = dict(iou_types=("bbox",))
