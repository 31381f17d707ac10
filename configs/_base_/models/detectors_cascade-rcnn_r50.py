"""mmdet's DetectoRS (on Cascade R-CNN) for one class on grey slices."""

_base_ = []  # stated before the import: MMEngine takes the file for a "lazy" config otherwise
from importlib import import_module

model = (
    import_module("mmengine.hub")
    .get_config("mmdet::detectors/detectors_cascade-rcnn_r50_1x_coco.py")
    .model
)
model.data_preprocessor.bgr_to_rgb = False
model.backbone.init_cfg = None
model.neck.rfp_backbone.pretrained = None
model.roi_head.bbox_head = [dict(head, num_classes=1) for head in model.roi_head.bbox_head]
for stage in (model.train_cfg.rpn, *model.train_cfg.rcnn):
    stage.assigner.update(type="LesionMaxIoUAssigner", ignore_iof_thr=0.5)
model.test_cfg.rcnn.score_thr = 0.001
