"""DetectoRS (Table 1), trained on the boxes of the pseudo masks."""

_base_ = [
    "../_base_/models/detectors_cascade-rcnn_r50.py",
    "../_base_/datasets/lesions_detection.py",
    "../_base_/schedules/paper_160e.py",
    "../_base_/default_runtime.py",
]

load_from = "https://download.openmmlab.com/mmdetection/v2.0/detectors/detectors_cascade_rcnn_r50_1x_coco/detectors_cascade_rcnn_r50_1x_coco-32a10ba0.pth"
