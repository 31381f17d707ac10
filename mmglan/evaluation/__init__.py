"""Metrics of lesion detection.

All modules but `lesion_metric` work without PyTorch. Importing `mmglan.evaluation.lesion_metric`
registers `LesionMetric` in MMDetection; the configs do so by `custom_imports`.
"""
