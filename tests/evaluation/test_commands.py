"""evaluate.py and compare.py in this process, and the benchmark on a small set."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from mmglan.commands import compare, evaluate
from mmglan.detections.coco_files import read_ground_truth
from mmglan.evaluation.detection_sets.detection_set_2d import short_axis_mm
from mmglan.evaluation.evaluation_record import read_evaluation
from mmglan.evaluation.protocols import PROTOCOLS


@pytest.fixture
def benchmark(repository):
    path = repository / "tools" / "benchmarks" / "froc_speed.py"
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _differences(path):
    return {one["name"]: one for one in json.loads(path.read_text())["differences"]}


def test_evaluate_writes_and_prints(coco_set, tmp_path, capsys):
    ann, boxes, masks = coco_set(0)
    out = tmp_path / "new" / "my.metrics.json"
    argv = ["--gt", str(ann), "--pred", str(boxes), str(masks), "--bootstrap", "40"]
    assert evaluate.main([*argv, "--out", str(out)]) == 0
    assert json.loads(out.read_text())["schema"] == 2
    found = read_evaluation(out)
    assert (found.size.n_patients, found.size.n_images) == (8, 24)
    assert [(curve.kind, curve.criterion.label) for curve in found.curves] == [
        *(("bbox", "25"), ("bbox", "50"), ("segm", "25"), ("segm", "50"))
    ]
    curve = found.curves[0]
    assert len(curve.fp) == len(curve.sensitivity) == len(curve.score)
    assert all(0 <= value <= 1 for value in curve.sensitivity)
    assert set(curve.fp) <= set(curve.band.fp) and curve.band.fp[-1] == curve.fp[-1]
    assert list(curve.band.fp) == sorted(set(curve.band.fp))
    # The band is the percentile interval, also where the curve has no point of its own.
    band = zip(curve.band.fp, curve.band.low, curve.band.high, strict=True)
    ends = {fp: (low, high) for fp, low, high in band}
    between = [fp for fp in (0.125, 0.25, 0.5, 1, 2) if fp in ends and fp not in curve.fp]
    assert between
    for fp in between:
        assert ends[fp] == found[f"bbox_FROC25_fp{fp:g}"].interval.percentile
    points = {point.fp: point for point in curve.operating_points}
    assert sorted(points) == [0.125, 0.25, 0.5, 1, 2, 4, 5, 5.85, 8, 9]
    sensitivity = found["bbox_SEN25"]
    assert points[5].sensitivity == sensitivity.value
    assert sensitivity.interval.low <= sensitivity.value <= sensitivity.interval.high
    assert sum(one.n_lesions for one in found.size.strata) == found.size.n_lesions
    printed = capsys.readouterr().out
    assert f"{100 * found['segm_AP50'].value:.2f}" in printed
    assert "< 10 mm" in printed and "score from" in printed and "masks, IoU 0.50" in printed
    # The score threshold at an operating point does what it says.
    rows = [row for row in json.loads(boxes.read_text()) if row["score"] >= points[1].score]
    boxes.write_text(json.dumps(rows))
    assert evaluate.main([*argv[:4], "--bootstrap", "0", "--out", str(out)]) == 0
    cut = read_evaluation(out)
    assert {value.interval for value in cut.values} == {None} and cut.curves[0].band is None
    assert cut["bbox_FROC25_fp8"].value == points[1].sensitivity
    assert cut.curves[0].fp[-1] <= 1


@pytest.mark.parametrize("protocol", ["picai", "luna", "centre-in-box"])
def test_every_protocol_from_files(coco_set, tmp_path, protocol):
    ann, boxes, masks = coco_set(1)
    out = tmp_path / "out.json"
    argv = ["--gt", str(ann), "--pred", str(boxes), str(masks), "--protocol", protocol]
    assert evaluate.main([*argv, "--bootstrap", "0", "--out", str(out)]) == 0
    found = read_evaluation(out)
    label = {"picai": "10", "luna": "_radius", "centre-in-box": "_centre"}[protocol]
    assert found.protocol == PROTOCOLS[protocol]
    assert 0 < found[f"bbox_SEN{label}"].value <= 1
    assert 0 < found[f"segm_FROC{label}_mean"].value <= 1


def test_errors_name_the_file_and_the_place(coco_set, tmp_path, capsys):
    ann, boxes, masks = coco_set(0)
    main = evaluate.main
    rows = json.loads(boxes.read_text())
    detections = [
        ([rows[0] | {"image_id": 999}], r"result 0: Expected the id of an image of set.ann.json"),
        ([rows[0] | {"score": None}], "result 0: Expected a finite score but got None"),
        ([rows[0] | {"bbox": [1, 2, -3, 4]}], "result 0: Expected bbox as x, y, width, height"),
        ([rows[0] | {"bbox": [1, 2, 3]}], "but got [1, 2, 3]"),
        ([5], "result 0: Expected the id"),
        ([rows[0] | {"segmentation": []}], "image 100: Expected a segmentation of every"),
        (
            [rows[0] | {"segmentation": {"size": [9, 9], "counts": "0"}}],
            "set.bbox.json: image 100: Expected a mask of 96 x 96 pixels but got 9 x 9",
        ),
        ([rows[0] | {"segmentation": [], "image_id": [1]}], "result 0: Expected the id"),
        ({"a": 1}, "Expected a list of results"),
        ([{"volume_id": "v0", "box3d": [0] * 6, "score": 1}], "Expected --volumes"),
    ]
    for content, message in detections:
        boxes.write_text(json.dumps(content))
        assert main(["--gt", str(ann), "--pred", str(boxes)]) == 2
        assert message in capsys.readouterr().err
    truth = json.loads(ann.read_text())
    bare = [lesion | {"segmentation": []} for lesion in truth["annotations"]]
    (tmp_path / "bare.json").write_text(json.dumps(truth | {"annotations": bare}))
    assert main(["--gt", str(tmp_path / "bare.json"), "--pred", str(masks)]) == 2
    assert "bare.json: image " in capsys.readouterr().err
    boxes.write_text("[{")
    assert main(["--gt", str(ann), "--pred", str(boxes)]) == 2
    assert "set.bbox.json: Expected JSON" in capsys.readouterr().err
    assert main(["--gt", str(ann), "--pred", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--pred", str(boxes)])


def test_two_results_of_one_kind_are_refused(coco_set, tmp_path, capsys):
    """The metrics of one of the two would be lost without a word."""
    ann, boxes, _ = coco_set(0)
    other = tmp_path / "other.json"
    other.write_text("[]")
    out = tmp_path / "out.json"
    both = ["--gt", str(ann), "--pred", str(boxes), str(other), "--bootstrap", "0"]
    assert evaluate.main([*both, "--out", str(out)]) == 2
    assert "Expected one set of boxes of one detector but got 2" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 7}, r"annotations\[0\]: .*image_id 7"),
        ({"bbox": [1, 2, float("nan"), 4]}, r"annotations\[0\]: Expected bbox"),
        ({"bbox": [1, 2, 0, 4]}, r"annotations\[0\]: .*1 x 1 pixels"),
    ],
)
def test_bad_annotations_are_named(coco_set, change, message):
    ann = coco_set(0)[0]
    data = json.loads(ann.read_text())
    data["annotations"][0] |= change
    ann.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message):
        read_ground_truth(ann)


def test_short_axis_from_what_there_is():
    image = {"id": 1, "spacing_mm": [0.5, 2.0, 3.0]}
    lesion = {"bbox": [0, 0, 30, 10]}
    assert short_axis_mm(image, lesion) == 15
    # Long axis along y: 10 px = 20 mm; short axis along x: 8 px = 4 mm.
    assert short_axis_mm(image, lesion | {"recist": [0, 0, 0, 10, -4, 5, 4, 5]}) == 4
    assert short_axis_mm(image, lesion | {"short_axis_mm": 7.5}) == 7.5
    assert np.isnan(short_axis_mm({"id": 1}, lesion))


def test_compare_writes_and_prints(coco_set, tmp_path, capsys):
    ann, boxes, _ = coco_set(0)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(boxes.read_text())[::2]))
    out = tmp_path / "comparison.json"
    main = compare.main
    argv = ["--gt", str(ann), "--pred-a", str(boxes), "--pred-b", str(other)]
    short = ["--bootstrap", "30", "--permutations", "30"]
    assert main([*argv, *short, "--out", str(out)]) == 0
    found = _differences(out)["bbox_SEN25"]
    assert found["difference"] == pytest.approx(found["first"] - found["second"])
    assert 1 / 31 <= found["p_value"] <= 1
    line = next(x for x in capsys.readouterr().out.splitlines() if "bbox_SEN25" in x)
    assert f"{100 * found['difference']:.2f}" in line
    other.write_text(json.dumps([{"image_id": 1, "score": 1, "bbox": [0, 0, 1, 1]}]))
    assert main([*argv, *short]) == 2
    assert "other.json: result 0" in capsys.readouterr().err


def test_benchmark_gives_identical_values(benchmark, tmp_path, capsys):
    out = tmp_path / "speed.json"
    argv = ["--volumes", "20", "--predictions", "40", "--bootstrap", "20", "--out", str(out)]
    assert benchmark.main(argv) == 0
    metrics = json.loads(out.read_text())
    assert metrics["identical"] is True and metrics["froc_s"] > 0
    assert "times_faster" in capsys.readouterr().out


def test_nothing_at_all(tmp_path):
    for truth in ({"images": [], "annotations": []}, {"images": [{"id": 1}], "annotations": []}):
        ann, boxes, out = (tmp_path / name for name in ("ann.json", "found.json", "out.json"))
        ann.write_text(json.dumps(truth))
        boxes.write_text("[]")
        argv = ["--gt", str(ann), "--pred", str(boxes), "--out", str(out), "--bootstrap", "10"]
        assert evaluate.main(argv) == 0
        found = read_evaluation(out)
        assert (found.size.n_images, found.size.n_lesions) == (len(truth["images"]), 0)
        assert {value.value for value in found.values} == {None}


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--level", "95"], "a number above 0 and below 1 but got 95"),
        (["--bootstrap", "-5"], "a whole number of at least 0 but got -5"),
        (["--stack-iou", "nan"], "a number of at least 0 but got nan"),
        (["--stack-iou", "-1"], "a number of at least 0 but got -1"),
        (["--stack-iou", "1"], "an IoU below 1 but got 1"),
        (["--stack-gap", "-1"], "a whole number of at least 0 but got -1"),
        (["--stack-score", "top0"], "max, mean, noisy-or or topN (N from 1 to 99) but got 'top0'"),
    ],
)
def test_numbers_out_of_range_are_named(coco_set, capsys, option, words):
    ann, boxes, _ = coco_set(0)
    with pytest.raises(SystemExit):
        evaluate.main(["--gt", str(ann), "--pred", str(boxes), *option])
    assert words in capsys.readouterr().err


def test_metrics_that_cannot_be_written_are_an_error(coco_set, tmp_path, capsys):
    """The table is printed all the same; a folder in the way is named, nothing is left behind."""
    ann, boxes, _ = coco_set(0)
    (tmp_path / "out").mkdir()
    before = sorted(tmp_path.iterdir())
    shared = ["--gt", str(ann), "--bootstrap", "0", "--out", str(tmp_path / "out")]
    assert evaluate.main([*shared, "--pred", str(boxes)]) == 2
    printed = capsys.readouterr()
    assert "AP25" in printed.out and "error: " in printed.err and "/out'" in printed.err
    sides = ["--pred-a", str(boxes), "--pred-b", str(boxes), "--permutations", "0"]
    assert compare.main([*shared, *sides]) == 2
    assert "/out'" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_compare_names_the_side_of_a_bad_file(coco_set, tmp_path, capsys):
    ann, boxes, _ = coco_set(0)
    bad = tmp_path / "peer" / boxes.name
    bad.parent.mkdir()
    bad.write_text(json.dumps([json.loads(boxes.read_text())[0] | {"score": None}]))
    main = compare.main
    assert main(["--gt", str(ann), "--pred-a", str(boxes), "--pred-b", str(bad)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: --pred-b: set.bbox.json: result 0: Expected a finite score")


def test_score_thresholds_near_zero_are_printed(coco_set, capsys):
    ann, boxes, _ = coco_set(0)
    rows = [row | {"score": row["score"] / 1e5} for row in json.loads(boxes.read_text())]
    boxes.write_text(json.dumps(rows))
    argv = ["--gt", str(ann), "--pred", str(boxes), "--bootstrap", "0"]
    assert evaluate.main(argv) == 0
    printed = capsys.readouterr().out
    assert "e-06" in printed and " 0.0000" not in printed


def test_no_permutations_give_no_p_value(coco_set, tmp_path, capsys):
    ann, boxes, _ = coco_set(0)
    out = tmp_path / "comparison.json"
    sides = ["--pred-a", str(boxes), "--pred-b", str(boxes)]
    argv = ["--gt", str(ann), *sides, "--bootstrap", "0", "--permutations", "0"]
    assert compare.main([*argv, "--out", str(out)]) == 0
    assert {found["p_value"] for found in _differences(out).values()} == {None}
    assert "1.0000" not in capsys.readouterr().out
