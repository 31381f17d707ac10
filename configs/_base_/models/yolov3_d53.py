"""mmdet's YOLOv3 for one class on grey slices."""

_base_ = []  # stated before the import: MMEngine takes the file for a "lazy" config otherwise
from importlib import import_module

model = (
    import_module("mmengine.hub")
    .get_config("mmdet::yolo/yolov3_d53_8xb8-ms-608-273e_coco.py")
    .model
)
model.data_preprocessor.bgr_to_rgb = False
model.backbone.init_cfg = None
model.bbox_head.update(type="LesionYOLOV3Head", num_classes=1)
model.test_cfg.update(score_thr=0.001, conf_thr=0.001)
