"""FROC and sigma plots, and the detection sheet."""

import json

import cv2
import numpy as np
import pytest

from data_prep.overlay import GT, PREDICTION, SCORE
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import group_results, read_results
from mmglan.evaluation.detection_status import status_of_images
from mmglan.evaluation.evaluation_record import (
    Band,
    Evaluation,
    ReportedCurve,
    read_evaluation,
)
from mmglan.evaluation.protocols import PROTOCOLS, Criterion
from mmglan.reporting.charts.matplotlib_plots import plot_froc, plot_sigmas, save
from mmglan.reporting.charts.plotly_charts import froc_chart, training_charts
from mmglan.reporting.detection_sheet import choose_slices, draw_slice
from mmglan.reporting.run_files import score_at

IOU_25, IOU_50 = Criterion("iou", 0.25), Criterion("iou", 0.5)
BAND = Band((0.0, 0.5, 2.0), (0.1, 0.4, 0.7), (0.3, 0.6, 0.8))


def _curve(kind="bbox", criterion=IOU_25, band=BAND):
    return ReportedCurve(
        kind, criterion, (0.0, 0.5, 2.0), (0.25, 0.5, 0.75), (0.9, 0.6, 0.2), band=band
    )


def _evaluation(*curves):
    return Evaluation(PROTOCOLS["deeplesion"], curves=curves)


def test_froc_chart_of_the_page():
    chart = froc_chart(_evaluation(_curve("segm"), _curve("bbox", IOU_50), _curve()))
    lines = [trace for trace in chart["data"] if "name" in trace]
    assert [line["name"] for line in lines] == [
        "Boxes, IoU 0.25",
        "Boxes, IoU 0.50",
        "Masks, IoU 0.25",
    ]
    assert lines[0]["x"] == [0.0, 0.5, 2.0] and lines[0]["y"] == [25.0, 50.0, 75.0]
    assert [line["visible"] for line in lines] == [True, True, "legendonly"]
    low, high = chart["data"][:2]
    assert low["y"] == [10.0, 40.0, 70.0] and high["y"] == [30.0, 60.0, 80.0]
    assert high["fill"] == "tonexty"
    assert froc_chart(_evaluation()) is None
    assert chart["layout"]["xaxis"]["title"]["text"] == "False positives per image"
    both = froc_chart(_evaluation(_curve(), _curve("bbox3d", Criterion("iobb", 0.3))))
    assert both["data"][-1]["name"] == "3D boxes, IoBB 0.30"
    hover = [t["hovertemplate"] for t in both["data"] if "hovertemplate" in t]
    assert ["FP per image" in text for text in hover] == [True, False]
    assert "FP per volume<br>" in hover[1]
    assert both["layout"]["xaxis"]["title"]["text"].endswith("3D: per volume")
    assert len(froc_chart(_evaluation(_curve(band=None)))["data"]) == 1


def test_a_band_stands_at_its_own_false_positives():
    band = Band((0.0, 0.25, 0.5, 2.0), (0.1, 0.4, 0.4, 0.7), (0.3, 0.5, 0.6, 0.8))
    evaluation = _evaluation(_curve(band=band))
    low, high, line = froc_chart(evaluation)["data"]
    assert low["x"] == high["x"] == [0.0, 0.25, 0.5, 2.0] and line["x"] == [0.0, 0.5, 2.0]
    assert low["y"] == [10.0, 40.0, 40.0, 70.0]
    (axes,) = plot_froc({"run": evaluation}).axes
    corners = axes.collections[0].get_paths()[0].vertices.round(6).tolist()
    assert [0.25, 40.0] in corners and [0.25, 50.0] in corners


def test_of_long_curves_some_points_are_drawn_and_both_ends():
    many = tuple(np.linspace(0, 1, 5000).tolist())
    curve = ReportedCurve("bbox", IOU_25, many, many, many[::-1])
    (line,) = froc_chart(_evaluation(curve))["data"]
    assert len(line["x"]) == 1200 and line["x"][0] == 0 and line["x"][-1] == 1


def test_a_curve_without_lesions_has_gaps():
    curve = ReportedCurve("bbox", IOU_25, (0.5, 1.0), (None, None), (0.9, 0.8))
    assert froc_chart(_evaluation(curve))["data"][0]["y"] == [None, None]
    (axes,) = plot_froc({"run": _evaluation(curve)}).axes
    assert np.isnan(axes.lines[0].get_ydata()).all()


def test_froc_plot():
    evaluation = _evaluation(_curve(), _curve("bbox", IOU_50), _curve("bbox", Criterion("centre")))
    (axes,) = plot_froc({"run": evaluation}, overlap="iou", threshold=0.25).axes
    (line,) = axes.lines
    assert line.get_label() == "run, IoU 0.25"
    assert line.get_ydata().tolist() == [25.0, 50.0, 75.0, 75.0]
    assert line.get_xdata().tolist() == [0.0, 0.5, 2.0, 8.0]
    assert len(axes.collections) == 1 and axes.get_title() == "Boxes"
    assert len(plot_froc({"run": evaluation}).axes[0].lines) == 3
    (line,) = plot_froc({"run": evaluation}, overlap="centre").axes[0].lines
    assert line.get_label() == "run, centre in the lesion's box"
    with pytest.raises(ValueError, match=r"for bbox 0\.1 but got none"):
        plot_froc({"": evaluation}, threshold=0.1)


def test_the_froc_plot_ends_where_the_curves_do():
    """Metrics files hold curves up to 16 false positives; a flat line beyond would be made up."""
    runs = {"run": _evaluation(_curve())}
    assert plot_froc(runs, max_fp=16).axes[0].get_xlim()[1] == 16
    for end in (32, 0, -1, float("nan")):
        with pytest.raises(ValueError, match="16 false positives at most"):
            plot_froc(runs, max_fp=end)


def test_sigma_plot_and_the_kinds_of_curves():
    scalars = {
        "sigma_a": ([1, 2], [1.0, 0.5]),
        "weight_a": ([1, 2], [1.0, 4.0]),
        "loss": ([1, 2], [3.0, 2.0]),
    }
    left, right = plot_sigmas(scalars).axes
    assert left.lines[0].get_ydata().tolist() == [1.0, 0.5]
    assert right.lines[0].get_ydata().tolist() == [1.0, 4.0]
    assert set(training_charts(scalars)) == {"sigma", "weight", "loss"}
    assert set(training_charts({"loss": ([1], [3.0])})) == {"loss"}
    assert training_charts({}) == {}
    with pytest.raises(ValueError, match="sigma_<task>"):
        plot_sigmas({"loss": ([1], [3.0])})


def test_plots_are_the_same_bytes_each_time(tmp_path):
    scalars = {"sigma_a": ([1, 2], [1.0, 0.5])}
    for kind in ("png", "pdf"):
        first = save(plot_sigmas(scalars), tmp_path / f"a.{kind}").read_bytes()
        assert save(plot_sigmas(scalars), tmp_path / f"b.{kind}").read_bytes() == first
    with pytest.raises(ValueError, match=r"\.png, \.pdf or \.svg"):
        save(plot_sigmas(scalars), tmp_path / "a.gif")


def _status(made_run):
    gt = read_ground_truth(made_run / "data" / "annotations" / "test.json")
    run = made_run / "run"
    results = (read_results(run / f"results.{kind}.json", gt) for kind in ("bbox", "segm"))
    return status_of_images(gt, *results)


def _has(picture, colour):
    return bool((picture == colour).all(axis=2).any())


def test_colours_of_a_slice(made_run):
    found, missed, alarm, empty, *_ = _status(made_run).images
    root = made_run / "data" / "images"
    picture = draw_slice(found, root, score=0.5, side=360)
    assert picture.shape == (360, 440, 3)
    assert _has(picture, GT) and _has(picture, PREDICTION)
    red = (picture[..., 0] > 150) & (picture[..., 1] < 80) & (picture[..., 2] < 80)
    assert red.any() and SCORE == (255, 0, 0)
    assert _has(draw_slice(missed, root, score=0.5), GT)
    assert not _has(draw_slice(missed, root, score=0.5), PREDICTION)
    assert not _has(draw_slice(alarm, root, score=0.95), PREDICTION)
    grey = draw_slice(empty, root, score=0.0)
    assert (grey == grey[..., :1]).all()
    # The predicted box of slice 1: x 61 to 91, y 70 to 94, twice enlarged.
    boxes = draw_slice(found, root, score=0.9, masks=False, side=360)
    assert (boxes[70 * 2, 61 * 2 : 90 * 2] == PREDICTION).all()


def test_slices_with_something_on_them_are_chosen(made_run):
    status = _status(made_run)
    chosen = choose_slices(status.gt, status.boxes, 4, score=0.5)
    assert chosen == sorted(chosen) and len(chosen) == 4
    assert all(f.lesions or f.detections for f in map(status.image, chosen))
    again = [choose_slices(status.gt, status.boxes, 4, score=0.5, seed=1) for _ in range(2)]
    assert again[0] == again[1]
    blank = read_ground_truth({"images": [{"id": 1}], "annotations": []})
    assert choose_slices(blank, group_results([], blank), 4, score=0.5) == [0]


def test_commands(made_run, tool, tmp_path, capsys):
    run, data = made_run / "run", made_run / "data"
    out = tmp_path / "froc.pdf"
    metrics = str(run / "results.metrics.json")
    assert tool("plot_froc").main([str(run), metrics, "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"%PDF")
    assert tool("plot_froc").main([str(run), "--labels", "a", "b"]) == 2
    assert tool("plot_sigmas").main([str(run), "--out", str(tmp_path / "s.png")]) == 0
    assert cv2.imread(str(tmp_path / "s.png")).shape == (630, 1650, 3)
    assert tool("plot_sigmas").main([str(tmp_path)]) == 2
    assert "vis_data/scalars.json" in capsys.readouterr().err
    arguments = ["--gt", str(data / "annotations" / "test.json"), "--images", str(data / "images")]
    arguments += ["--pred", str(run / "results.bbox.json"), "--count", "4", "--side", "220"]
    arguments += ["--segm", str(run / "results.segm.json"), "--out", str(tmp_path / "d.png")]
    assert tool("plot_detections").main(arguments) == 0
    height, width, _ = cv2.imread(str(tmp_path / "d.png")).shape
    assert width >= 2 * 220 and height >= 2 * 180
    at_five = [*arguments[:-1], str(tmp_path / "five.png"), "--fp", "5", "--metrics", metrics]
    assert tool("plot_detections").main(at_five) == 0
    score = score_at(read_evaluation(metrics), 5.0)
    same = [*arguments[:-1], str(tmp_path / "same.png"), "--score", str(score)]
    assert tool("plot_detections").main(same) == 0
    assert (tmp_path / "five.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    at_five[-3] = "3.3"
    assert tool("plot_detections").main(at_five) == 2
    assert "Expected an operating point at 3.3 false positives" in capsys.readouterr().err
    (tmp_path / "other.json").write_text(json.dumps([{"image_id": 99, "score": 1, "bbox": []}]))
    arguments[5] = str(tmp_path / "other.json")
    assert tool("plot_detections").main(arguments) == 2
    assert "image_id 99" in capsys.readouterr().err
