"""mmdet's VFNet for one class on grey slices."""

_base_ = []  # stated before the import: MMEngine takes the file for a "lazy" config otherwise
from importlib import import_module

model = import_module("mmengine.hub").get_config("mmdet::vfnet/vfnet_r50_fpn_1x_coco.py").model
model.data_preprocessor.bgr_to_rgb = False
model.backbone.init_cfg = None
model.bbox_head.num_classes = 1
model.train_cfg.assigner.update(type="LesionATSSAssigner", ignore_iof_thr=0.5)
model.test_cfg.score_thr = 0.001
