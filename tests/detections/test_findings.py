"""Findings survive JSON, and what is not findings is refused."""

import json
from dataclasses import asdict

import pytest

from mmglan.detections.findings import (
    Findings,
    Lesion,
    RecistMeasurement,
    ScanGeometry,
    SliceDetection,
)
from mmglan.inference.outputs.tables import coco_of


def made() -> Findings:
    geometry = ScanGeometry(
        (3, 40, 50), (0.8, 0.8, 3.0), (50, 40, 3), (0.8, 0.8, 3.0), (1.0, 2.0, 3.0), (1.0, 0.0) * 4
    )
    axes = RecistMeasurement(
        1,
        ((4.0, 5.0), (10.0, 5.0)),
        ((7.0, 4.0), (7.0, 6.5)),
        ((4.2, 6.0, 6.0), (9.0, 6.0, 6.0)),
        ((6.6, 5.2, 6.0), (6.6, 7.2, 6.0)),
        4.8,
        2.0,
    )
    part = SliceDetection(1, (4.0, 4.0, 7.0, 3.0), 0.9, {"size": [40, 50], "counts": "0"})
    lesion = Lesion(1, 0.9, 0.7, (4, 4, 1, 10, 6, 1), (6.6, 6.0, 6.0), 0.02, axes, (part,))
    return Findings(
        "v0001",
        geometry,
        (lesion,),
        classes=("cyst", "lesion"),
        model={"name": "m"},
        threshold=0.25,
        warnings=("outside",),
    )


def test_json_and_back():
    findings = made()
    assert Findings.from_json(json.loads(json.dumps(findings.to_json()))) == findings


def test_json_holds_every_field():
    as_json = json.loads(json.dumps(made().to_json()))
    assert as_json == json.loads(json.dumps(asdict(made())))


def test_coco_results_number_the_classes_as_prepare_does():
    (row,) = json.loads(coco_of(made()))
    assert row["category_id"] == 2 and row["image_id"] == "v0001/v0001_0001.png"
    assert (row["bbox"], row["score"]) == ([4.0, 4.0, 7.0, 3.0], 0.9)


@pytest.mark.parametrize("damage", [{"schema": 2}, {"lesions": [{}]}, {"geometry": None}])
def test_other_records_are_refused(damage):
    with pytest.raises(ValueError, match="Expected findings of schema 1"):
        Findings.from_json(made().to_json() | damage)


def test_no_record_is_refused():
    with pytest.raises(ValueError, match="got 'list'"):
        Findings.from_json([])
