"""FROC, sigma and detection pictures."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.overlay import PREDICTION, SCORE, TRUTH
from mmglan.reporting.detection_sheet import choose_slices, draw_slice
from mmglan.reporting.findings import ImageFindings, load_results, load_truth, mark_findings
from mmglan.reporting.matplotlib_plots import plot_froc, plot_sigmas, save
from mmglan.reporting.plotly_charts import froc_figure, training_figures
from mmglan.reporting.run_files import score_at

CURVE = {
    "fp": [0.0, 0.5, 2.0],
    "sensitivity": [0.25, 0.5, 0.75],
    "score": [0.9, 0.6, 0.2],
    "band_low": [0.1, 0.4, 0.7],
    "band_high": [0.3, 0.6, 0.8],
    "operating_points": [],
}


def test_froc_figure_of_the_page():
    figure = froc_figure(
        {"froc": {"segm": {"0.25": CURVE}, "bbox": {"0.50": CURVE, "0.25": CURVE}}}
    )
    lines = [trace for trace in figure["data"] if "name" in trace]
    assert [line["name"] for line in lines] == [
        "Boxes, IoU 0.25",
        "Boxes, IoU 0.50",
        "Masks, IoU 0.25",
    ]
    assert lines[0]["x"] == [0.0, 0.5, 2.0] and lines[0]["y"] == [25.0, 50.0, 75.0]
    assert [line["visible"] for line in lines] == [True, True, "legendonly"]
    low, high = figure["data"][:2]
    assert low["y"] == [10.0, 40.0, 70.0] and high["y"] == [30.0, 60.0, 80.0]
    assert high["fill"] == "tonexty"
    assert froc_figure({"froc": {}}) is None
    assert figure["layout"]["xaxis"]["title"]["text"] == "False positives per image"
    both = froc_figure({"froc": {"bbox": {"0.25": CURVE}, "bbox3d_IoBB": {"0.30": CURVE}}})
    assert both["data"][-1]["name"] == "3D boxes, IoBB 0.30"
    hover = [t["hovertemplate"] for t in both["data"] if "hovertemplate" in t]
    assert ["FP per image" in text for text in hover] == [True, False]
    assert "FP per volume<br>" in hover[1]
    assert both["layout"]["xaxis"]["title"]["text"].endswith("3D: per volume")
    without = froc_figure({"froc": {"bbox": {"0.25": {**CURVE, "band_low": None}}}})
    assert len(without["data"]) == 1


def test_a_band_stands_at_its_own_false_positives():
    curve = {**CURVE, "band_fp": [0.0, 0.25, 0.5, 2.0]}
    curve |= {"band_low": [0.1, 0.4, 0.4, 0.7], "band_high": [0.3, 0.5, 0.6, 0.8]}
    metrics = {"froc": {"bbox": {"0.25": curve}}}
    low, high, line = froc_figure(metrics)["data"]
    assert low["x"] == high["x"] == [0.0, 0.25, 0.5, 2.0] and line["x"] == CURVE["fp"]
    assert low["y"] == [10.0, 40.0, 40.0, 70.0]
    (axes,) = plot_froc({"run": metrics}).axes
    corners = axes.collections[0].get_paths()[0].vertices.round(6).tolist()
    assert [0.25, 40.0] in corners and [0.25, 50.0] in corners


def test_long_curves_are_thinned_with_both_ends():
    many = np.linspace(0, 1, 5000).tolist()
    curve = {"fp": many, "sensitivity": many, "score": many[::-1]}
    (line,) = froc_figure({"froc": {"bbox": {"0.25": curve}}})["data"]
    assert len(line["x"]) == 1200 and line["x"][0] == 0 and line["x"][-1] == 1


def test_froc_picture():
    figure = plot_froc({"run": {"froc": {"bbox": {"0.25": CURVE, "0.50": CURVE}}}}, threshold=0.25)
    (axes,) = figure.axes
    (line,) = axes.lines
    assert line.get_label() == "run, IoU 0.25"
    assert line.get_ydata().tolist() == [25.0, 50.0, 75.0, 75.0]
    assert line.get_xdata().tolist() == [0.0, 0.5, 2.0, 8.0]
    assert len(axes.collections) == 1 and axes.get_title() == "Boxes"
    with pytest.raises(ValueError, match=r"bbox at 0\.1 but got none"):
        plot_froc({"": {"froc": {"bbox": {"0.25": CURVE}}}}, threshold=0.1)


def test_the_froc_picture_ends_where_the_curves_do():
    """Metrics files hold curves up to 16 false positives; a flat line beyond would be made up."""
    metrics = {"run": {"froc": {"bbox": {"0.25": CURVE}}}}
    assert plot_froc(metrics, max_fp=16).axes[0].get_xlim()[1] == 16
    for end in (32, 0, -1, float("nan")):
        with pytest.raises(ValueError, match="16 false positives at most"):
            plot_froc(metrics, max_fp=end)


def test_sigma_picture_and_the_kinds_of_curves():
    scalars = {
        "sigma/a": ([1, 2], [1.0, 0.5]),
        "weight/a": ([1, 2], [1.0, 4.0]),
        "loss": ([1, 2], [3.0, 2.0]),
    }
    left, right = plot_sigmas(scalars).axes
    assert left.lines[0].get_ydata().tolist() == [1.0, 0.5]
    assert right.lines[0].get_ydata().tolist() == [1.0, 4.0]
    assert set(training_figures(scalars)) == {"sigma", "weight", "loss"}
    assert set(training_figures({"loss": ([1], [3.0])})) == {"loss"}
    assert training_figures({}) == {}
    with pytest.raises(ValueError, match="sigma/<task>"):
        plot_sigmas({"loss": ([1], [3.0])})


def test_pictures_are_the_same_bytes_each_time(tmp_path):
    scalars = {"sigma/a": ([1, 2], [1.0, 0.5])}
    for kind in ("png", "pdf"):
        first = save(plot_sigmas(scalars), tmp_path / f"a.{kind}").read_bytes()
        assert save(plot_sigmas(scalars), tmp_path / f"b.{kind}").read_bytes() == first
    with pytest.raises(ValueError, match=r"\.png, \.pdf or \.svg"):
        save(plot_sigmas(scalars), tmp_path / "a.gif")


def _findings(made_run):
    truth = load_truth(made_run / "data" / "annotations" / "test.json")
    run = made_run / "run"
    return mark_findings(
        truth,
        load_results(run / "results.bbox.json", truth),
        segmentations=load_results(run / "results.segm.json", truth),
    )


def _has(picture, colour):
    return bool((picture == colour).all(axis=2).any())


def test_colours_of_a_slice(made_run):
    found, missed, alarm, empty, *_ = _findings(made_run)
    root = made_run / "data" / "images"
    picture = draw_slice(found, root, score=0.5, side=360)
    assert picture.shape == (360, 440, 3)
    assert _has(picture, TRUTH) and _has(picture, PREDICTION)
    red = (picture[..., 0] > 150) & (picture[..., 1] < 80) & (picture[..., 2] < 80)
    assert red.any() and SCORE == (255, 0, 0)
    assert _has(draw_slice(missed, root, score=0.5), TRUTH)
    assert not _has(draw_slice(missed, root, score=0.5), PREDICTION)
    assert not _has(draw_slice(alarm, root, score=0.95), PREDICTION)
    grey = draw_slice(empty, root, score=0.0)
    assert (grey == grey[..., :1]).all()
    # The predicted box of slice 1: x 61 to 91, y 70 to 94, twice enlarged.
    boxes = draw_slice(found, root, score=0.9, masks=False, side=360)
    assert (boxes[70 * 2, 61 * 2 : 90 * 2] == PREDICTION).all()


def test_slices_with_something_on_them_are_chosen(made_run):
    findings = _findings(made_run)
    chosen = choose_slices(findings, 4, score=0.5)
    assert [f.image["id"] for f in chosen] == sorted(f.image["id"] for f in chosen)
    assert len(chosen) == 4 and all(f.lesions or f.predictions for f in chosen)
    assert choose_slices(findings, 4, score=0.5, seed=1) == choose_slices(
        findings, 4, score=0.5, seed=1
    )
    blank = [ImageFindings({"id": 1}, [], [])]
    assert choose_slices(blank, 4, score=0.5) == blank


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
    score = score_at(json.loads(Path(metrics).read_text()), 5.0)
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
