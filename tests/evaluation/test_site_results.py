"""Results by site: by hand, and by the command."""

import csv
import json

import cv2
import numpy as np
import pytest

from mmglan.commands import evaluate
from mmglan.evaluation.site_results import HEADER

SITES = ["iliac", "iliac", "=para$aortic", None]


@pytest.fixture
def labelled(tmp_path):
    """Two images of two patients; both iliac lesions are found, one only below a false positive.

    The paraaortic lesion is found last, the one without a site never.
    """
    boxes = [[10, 10, 10, 10], [40, 40, 10, 10], [10, 10, 10, 10], [70, 70, 10, 10]]
    images = [
        {"id": n, "file_name": f"{n}.png", "width": 96, "height": 96, "patient_id": f"p{n}"}
        for n in (1, 2)
    ]
    lesions = [
        {"id": n, "image_id": 1 + n // 2, "category_id": 1, "bbox": box, "area": 100, "iscrowd": 0}
        | ({"site": site} if site else {})
        for n, (box, site) in enumerate(zip(boxes, SITES, strict=True))
    ]
    found = [(1, boxes[0], 0.9), (1, [80, 0, 9, 9], 0.8), (1, boxes[1], 0.7), (2, boxes[2], 0.6)]
    gt, pred = tmp_path / "gt.json", tmp_path / "pred.bbox.json"
    categories = [{"id": 1, "name": "lesion"}]
    gt.write_text(json.dumps(dict(images=images, annotations=lesions, categories=categories)))
    rows = [dict(image_id=i, category_id=1, bbox=b, score=s) for i, b, s in found]
    pred.write_text(json.dumps(rows))
    return gt, pred


def test_sensitivity_of_each_site_by_hand(labelled, tmp_path):
    """Half a false positive per image before the second find: 0 FP 1/4, then 3/4 of all found."""
    gt, pred = labelled
    out = tmp_path / "sites.csv"
    argv = ["--gt", gt, "--pred", pred, "--bootstrap", 20, "--per-site", out, "--min-lesions", 1]
    assert evaluate.main(list(map(str, argv))) == 0
    with open(out) as stream:
        header, *rows = csv.reader(stream)
    assert tuple(header) == HEADER
    of_one = {row[2]: row for row in rows if row[1] == "IoU 0.25"}
    assert list(of_one) == ["all", "iliac", "'=para$aortic", "unspecified"]
    assert [row[3] for row in of_one.values()] == ["4", "2", "1", "1"]
    at_half = {name: float(row[header.index("sensitivity_fp0.5")]) for name, row in of_one.items()}
    assert at_half == {"all": 0.75, "iliac": 1.0, "'=para$aortic": 1.0, "unspecified": 0.0}
    # Until the false positive the curve stays at the first find.
    assert float(of_one["iliac"][header.index("sensitivity_fp0.25")]) == 0.5
    chart = cv2.imread(str(out.with_suffix(".png")))
    assert chart is not None and len(np.unique(chart.reshape(-1, 3), axis=0)) > 50


def test_what_cannot_be_done_is_refused(labelled, tmp_path, capsys):
    gt, pred = labelled
    content = json.loads(gt.read_text())
    for one in content["annotations"]:
        one.pop("site", None)
    gt.write_text(json.dumps(content))
    argv = ["--gt", str(gt), "--pred", str(pred), "--per-site", str(tmp_path / "sites.csv")]
    assert evaluate.main(argv) == 2
    assert "none names it" in capsys.readouterr().err
    for wrong, words in (
        (["--volumes", "v.json", "--pred", "p.json", "--per-site", "s.csv"], "expected --gt"),
        ([*argv[:4], "--min-lesions", "3"], "expected --per-site with --min-lesions"),
        ([*argv[:5], "s.png"], "the chart is written beside it"),
    ):
        with pytest.raises(SystemExit) as end:
            evaluate.main(wrong)
        assert end.value.code == 2 and words in capsys.readouterr().err
