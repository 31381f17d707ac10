"""Words for the metrics' keys."""

import math

from mmglan.reporting.metric_words import (
    curve_name,
    interval,
    number,
    order,
    percent,
    split_key,
    words,
)


def test_words():
    assert split_key("lesion/bbox_AP25") == ("bbox", "AP25")
    assert split_key("bbox3d_FROC_IoBB30_fp0.125") == ("bbox3d", "FROC_IoBB30_fp0.125")
    assert split_key("loss") == ("", "loss")
    assert words("AP10") == "AP at IoU 0.10"
    assert words("mAP") == "COCO mAP, IoU 0.50 to 0.95"
    assert words("SEN50", "bbox") == "Sensitivity at 5 FP per image, IoU 0.50"
    assert (
        words("SEN_centre", "bbox") == "Sensitivity at 5 FP per image, centre in the lesion's box"
    )
    assert words("FROC_IoBB30_fp0.125", "bbox3d") == (
        "Sensitivity at 0.125 FP per volume, IoBB 0.30"
    )
    assert words("recall25_fp5.85", "segm") == "Recall at 5.85 FP per image, IoU 0.25"
    assert words("mRecall50") == "Mean recall at precision 0.10 to 0.50, IoU 0.50"
    assert words("another_thing") == "another thing"
    assert curve_name("bbox3d_IoBB", "0.30") == "3D boxes, IoBB 0.30"
    assert curve_name("segm", "0.5") == "Masks, IoU 0.50"
    assert curve_name("bbox_radius", "1.00") == "Boxes, centre within the lesion's radius"


def test_order():
    keys = ["segm_AP25", "bbox_FROC25_fp8", "bbox_FROC25_fp0.125", "bbox_FROC25_fp1", "bbox_AP50"]
    keys += ["bbox_AP10", "lr", "bbox_SEN25"]
    assert sorted(keys, key=order) == [
        "bbox_AP10",
        "bbox_AP50",
        "bbox_SEN25",
        "bbox_FROC25_fp0.125",
        "bbox_FROC25_fp1",
        "bbox_FROC25_fp8",
        "segm_AP25",
        "lr",
    ]


def test_numbers_that_are_none():
    assert [number(v) for v in (None, math.nan, math.inf, -1.0, True)] == [None] * 5
    assert percent(0.12345) == "12.35" and percent(None) == "–" and percent(0) == "0.00"
    assert interval({"low": 0.5, "high": 0.625}) == "50.0 – 62.5"
    assert interval({"low": None, "high": 0.5}) == interval(None) == ""
