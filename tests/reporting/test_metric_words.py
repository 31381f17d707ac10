"""Metrics in words."""

import math

from mmglan.evaluation.evaluation_record import ReportedCurve
from mmglan.evaluation.metric_values import MetricKey
from mmglan.evaluation.protocols import Criterion
from mmglan.evaluation.resampling.bootstrap import Interval
from mmglan.reporting.metric_words import curve_name, interval, kind_title, order, percent, words

IOU_25, IOU_50, IOBB_30 = Criterion("iou", 0.25), Criterion("iou", 0.5), Criterion("iobb", 0.3)


def test_words():
    assert words(MetricKey("bbox", "AP", Criterion("iou", 0.1))) == "AP at IoU 0.10"
    assert words(MetricKey("bbox", "mAP")) == "COCO mAP, IoU 0.50 to 0.95"
    sensitivity = MetricKey("bbox", "SEN", IOU_50, 5.0)
    assert words(sensitivity) == "Sensitivity at 5 FP per image, IoU 0.50"
    assert (
        words(MetricKey("bbox", "SEN", Criterion("centre"), 5.0))
        == "Sensitivity at 5 FP per image, centre in the lesion's box"
    )
    assert words(MetricKey("bbox3d", "FROC", IOBB_30, 0.125)) == (
        "Sensitivity at 0.125 FP per volume, IoBB 0.30"
    )
    recall = MetricKey("segm", "recall", IOU_25, 5.85)
    assert words(recall) == "Recall at 5.85 FP per image, IoU 0.25"
    assert words(MetricKey("segm", "mRecall", IOU_50)) == (
        "Mean recall at precision 0.10 to 0.50, IoU 0.50"
    )
    found = MetricKey("segm3d", "volumeSEN", IOU_25, 5.0)
    assert words(found) == "Volumes with a lesion found at 5 FP, IoU 0.25"
    assert words(MetricKey("bbox", "AP", IOU_25, category="cyst")) == "AP at IoU 0.25, cyst"
    assert [kind_title(kind) for kind in ("bbox", "segm3d")] == ["Boxes", "3D masks"]


def test_names_of_curves():
    def curve(*of, **more):
        return ReportedCurve(*of, fp=(), sensitivity=(), score=(), **more)

    assert curve_name(curve("bbox3d", IOBB_30)) == "3D boxes, IoBB 0.30"
    assert curve_name(curve("segm", IOU_50, category="cyst")) == "Masks, IoU 0.50, cyst"
    assert (
        curve_name(curve("bbox", Criterion("radius"))) == "Boxes, centre within the lesion's radius"
    )


def test_order():
    keys = [
        MetricKey("bbox", "AP", Criterion("iou", 0.1)),
        MetricKey("bbox", "AP", IOU_50),
        MetricKey("bbox", "mAP"),
        MetricKey("bbox", "SEN", IOU_25, 5.0),
        MetricKey("bbox", "FROC", IOU_25, 0.125),
        MetricKey("bbox", "FROC", IOU_25, 1.0),
        MetricKey("bbox", "FROC", IOU_25, 8.0),
        MetricKey("bbox", "FROC", IOU_50, 0.125),
        MetricKey("bbox", "FROC_mean", IOU_25),
        MetricKey("segm", "AP", IOU_25),
        MetricKey("bbox3d", "SEN", IOBB_30, 5.0),
    ]
    assert sorted(reversed(keys), key=order) == keys


def test_numbers_as_text():
    assert percent(0.12345) == "12.35" and percent(0) == "0.00"
    assert percent(None) == percent(math.nan) == "–"
    assert interval(Interval(0.5, 0.625, 0.95, "bca", 10)) == "50.0 – 62.5"
    assert interval(None) == ""
