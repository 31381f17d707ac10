"""The public calls of the package, on files and on lists, and imports that wait."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import mmglan


def test_functions_are_listed_and_come_when_used():
    assert {"evaluate", "compare", "froc", "stack"} <= set(dir(mmglan))
    for name in mmglan.__all__:
        assert getattr(mmglan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'evaluation_of'"):
        _ = mmglan.evaluation_of


def test_the_package_alone_imports_nothing_of_itself():
    script = "import sys, mmglan; print(sorted(n for n in sys.modules if n.startswith('mmglan')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "['mmglan', 'mmglan.version']"


def test_files_and_their_content_give_the_same(tmp_path):
    gt = {"images": [{"id": 1}], "annotations": [{"image_id": 1, "bbox": [0, 0, 9, 9]}]}
    found = [{"image_id": 1, "bbox": [0, 0, 9, 8], "score": 0.5}]
    files = [tmp_path / "gt.json", tmp_path / "found.json"]
    for path, content in zip(files, (gt, found), strict=True):
        path.write_text(json.dumps(content))
    expected = mmglan.evaluate(*files, bootstrap=0)
    assert mmglan.evaluate(gt, found, bootstrap=0) == expected
    assert mmglan.evaluate(str(files[0]), [str(files[1])], bootstrap=0) == expected
    assert mmglan.evaluate(gt, [found], bootstrap=0) == expected
    assert mmglan.evaluate(gt, [], bootstrap=0)["bbox_SEN25"].value == 0


BOX_3D = {"volume_id": "a", "box3d": [1, 1, 1, 4, 4, 2], "score": 0.5}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gt": None}, "Expected gt, volumes or gt_masks"),
        ({"protocol": "mine"}, "Expected protocol to be one of"),
        ({"bootstrap": 5, "level": 1.0}, "Expected a level between 0 and 1"),
        ({"binary_masks": True}, "Expected a folder of label maps with --binary-masks"),
        ({"scores": "s.csv"}, "Expected a folder of label maps with --scores"),
        ({"stacking": {"iou": 0.2}}, "Expected --gt and --volumes with --stack-iou"),
        ({"predictions": [BOX_3D], "stacking": {"gap": 1}}, "2D results with --stack-iou, --stack"),
        ({"stacking": {"score": "sum"}}, "max, mean, noisy-or or topN .* but got 'sum'"),
        ({"stacking": {"iou": 1}}, "an IoU from 0 to below 1 for stacking but got 1"),
        ({"stacking": {"gap": -1}}, "a gap of at least 0 slices but got -1"),
        ({"gt": None, "volumes": "v.json", "neighbour_reach": 1}, "--gt with --neighbour-reach"),
        ({"predictions": [BOX_3D], "neighbour_reach": 1}, "2D results with --neighbour-reach"),
        ({"ids": "ids.csv"}, "Expected gt_masks with ids"),
    ],
)
def test_options_without_use_are_refused(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.json").write_text('{"volumes": [{"volume_id": "a"}], "lesions": []}')
    if BOX_3D in options.get("predictions", ()):
        options = options | {"volumes": "v.json"}
    inputs = {"gt": {"images": [], "annotations": []}, "predictions": []} | options
    with pytest.raises(ValueError, match=words):
        mmglan.evaluate(**inputs)


def test_the_side_of_a_bad_result_is_named():
    gt = {"images": [{"id": 1}], "annotations": []}
    with pytest.raises(ValueError, match=r"second: predictions\[0\]: result 0: .* image_id 7"):
        mmglan.compare(gt, [], [{"image_id": 7}])
