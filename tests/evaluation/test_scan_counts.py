"""Counts of each scan, by hand and by the command."""

import csv
import json

from mmglan.commands import evaluate


def test_counts_of_each_volume_under_luna(tmp_path):
    """Radius 5 mm. Volume a: found, again, false, on a finding to ignore. b: missed. c: nothing."""
    ids = [{"volume_id": name, "spacing_mm": [1, 1, 1]} for name in "abc"]
    cube = [0, 0, 0, 9, 9, 9]
    away = [50, 50, 50, 59, 59, 59]
    other = [80, 80, 80, 89, 89, 89]
    lesions = [{"volume_id": "a", "box3d": cube}, {"volume_id": "b", "box3d": cube}]
    lesions.append({"volume_id": "a", "box3d": other, "ignore": True})
    gt, pred, out = (tmp_path / name for name in ("volumes.json", "boxes.json", "scans.csv"))
    gt.write_text(json.dumps({"volumes": ids, "lesions": lesions}))
    found = [("a", cube, 0.9), ("a", cube, 0.8), ("a", away, 0.7), ("a", other, 0.6)]
    found.append(("b", away, 0.5))
    rows = [{"volume_id": name, "box3d": box, "score": score} for name, box, score in found]
    pred.write_text(json.dumps(rows))
    argv = ["--volumes", gt, "--pred", pred, "--protocol", "luna", "--bootstrap", 0]
    assert evaluate.main([*map(str, argv), "--per-scan", str(out)]) == 0
    with open(out) as stream:
        read = list(csv.reader(stream))
    assert read[0][2:] == [
        *("scan", "lesions", "found", "detections"),
        *("false_positives", "not_counted"),
    ]
    assert [row[2:] for row in read[1:]] == [
        ["a", "1", "1", "4", "1", "2"],
        ["b", "1", "0", "1", "1", "0"],
        ["c", "0", "0", "0", "0", "0"],
    ]


def test_images_are_named_by_their_ids(tmp_path, coco_set):
    ann, boxes, _ = coco_set(2)
    out = tmp_path / "scans.csv"
    argv = ["--gt", ann, "--pred", boxes, "--bootstrap", 0, "--per-scan", out]
    assert evaluate.main(list(map(str, argv))) == 0
    with open(out) as stream:
        rows = list(csv.DictReader(stream))
    content = json.loads(ann.read_text())
    one = [row for row in rows if row["criterion"] == "IoU 0.25"]
    assert {row["scan"] for row in one} == {str(image["id"]) for image in content["images"]}
    assert sum(int(row["lesions"]) for row in one) == len(content["annotations"])
    assert sum(int(row["detections"]) for row in one) == len(json.loads(boxes.read_text()))
