"""The report as a file: complete, self-contained, free of identifiers."""

import json
import re
import shutil

import pytest

import mmglan.reporting.slice_data as slice_data_module
from mmglan.detections.coco_files import read_ground_truth
from mmglan.detections.coco_results import Results, read_results
from mmglan.evaluation.detection_status import status_of_images
from mmglan.evaluation.evaluation_record import (
    Evaluation,
    OperatingPoint,
    ReportedCurve,
    read_evaluation,
)
from mmglan.evaluation.metric_values import MetricValue
from mmglan.evaluation.protocols import PROTOCOLS, Criterion
from mmglan.evaluation.resampling.bootstrap import Interval
from mmglan.reporting.html_report import build_report
from mmglan.reporting.page_tables import (
    cards,
    metric_tables,
    operating_tables,
    start_threshold,
)
from mmglan.reporting.provenance import provenance_rows
from mmglan.reporting.size_strata import strata_table
from mmglan.reporting.slice_data import choose, slice_data, totals

NONE = Results.of_parts([])


@pytest.fixture(scope="module")
def page(made_report):
    return made_report.read_text(encoding="utf-8")


def _data(page):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]
    return json.loads(text)


@pytest.fixture(scope="module")
def data(page):
    return _data(page)


@pytest.fixture(scope="module")
def evaluation(made_run):
    return read_evaluation(made_run / "run" / "results.metrics.json")


@pytest.fixture(scope="module")
def status(made_run):
    gt = read_ground_truth(made_run / "data" / "annotations" / "test.json")
    run = made_run / "run"
    results = (read_results(run / f"results.{kind}.json", gt) for kind in ("bbox", "segm"))
    return status_of_images(gt, *results)


def test_no_identifier_and_no_path_is_in_it(page, made_run):
    for secret in ("SECRET", "NAME-OF-SITE", str(made_run), "0001.png"):
        assert secret not in page, secret


def test_it_asks_for_nothing_from_outside(page):
    own = page.split('<script type="application/json" id="data">')[0]
    assert not re.search(r'(?:src|href)="(?!#|data:)', own)
    assert "default-src 'none'" in own and "http" not in own.replace("http-equiv", "")


def test_counts_by_score_threshold(data, status):
    lesions = [lesion for image in status.images for lesion in image.lesions]
    assert (data["n_images"], data["n_lesions"]) == (12, len(lesions))
    assert [rule["id"] for rule in data["rules"]] == ["bbox25", "bbox50", "segm25", "segm50"]
    assert data["rules"][2]["words"] == "Masks, IoU 0.25"
    for rule, choice in zip(status.rules, data["rules"], strict=True):
        for score in (0.0, 0.3, 0.6, 0.95):
            found = sum((lesion.found_at[rule] or -1) >= score for lesion in lesions)
            assert sum(s >= score for s in data["totals"][choice["id"]]["found"]) == found
    nothing = status_of_images(read_ground_truth({"images": [], "annotations": []}), NONE)
    empty = {"found": [], "fp": [], "steps": [1, 1]}
    assert totals(nothing) == {"bbox25": empty, "bbox50": empty}


def test_of_many_scores_every_nth_is_embedded(status, monkeypatch):
    exact = totals(status)["bbox25"]
    monkeypatch.setattr(slice_data_module, "MAX_SCORES", 3)
    few = totals(status)["bbox25"]
    for side, step in zip(("found", "fp"), few["steps"], strict=True):
        assert len(few[side]) <= 3 < len(exact[side])
        for score in exact[side]:
            count, about = (sum(s >= score for s in one[side]) for one in (exact, few))
            assert count - step < about * step <= count


@pytest.mark.parametrize("number", range(4))
def test_the_counts_are_those_of_the_froc_curve(data, evaluation, number):
    curve = evaluation.curves[number]
    record = data["totals"][curve.kind + curve.criterion.label]
    for fp, sensitivity, score in zip(curve.fp, curve.sensitivity, curve.score, strict=True):
        score = round(score, 6)
        assert sum(s >= score for s in record["fp"]) == round(fp * data["n_images"])
        assert sum(s >= score for s in record["found"]) == round(sensitivity * data["n_lesions"])


def test_slices(data):
    one, two, three, four = data["slices"][:4]
    assert one["label"] == "patient 1, slice 11" and (one["w"], one["h"]) == (220, 180)
    assert one["detections"][0]["t"] == dict.fromkeys(
        ("bbox25", "bbox50", "segm25", "segm50"), "tp"
    )
    assert one["detections"][1]["t"]["bbox25"] == "duplicate"
    assert one["lesions"][0]["f"]["bbox25"] == one["lesions"][0]["f"]["bbox50"] == 0.95
    assert one["lesions"][0]["mm"] == "27 × 22 mm" and one["lesions"][0]["c"].startswith("M")
    assert set(two["lesions"][0]["f"].values()) == {None}
    assert three["detections"][0]["t"]["bbox25"] == "fp" and three["detections"][0]["o"] is None
    assert four["lesions"] == four["detections"] == []


def test_few_slices_are_the_ones_with_errors(status, made_run):
    rule = status.rules[0]
    places = choose(status, 2, rule, 0.5)
    chosen = list(map(status.image, places))
    errors = {}
    for image in status.images:
        missed = sum((lesion.found_at[rule] or -1) < 0.5 for lesion in image.lesions)
        false = sum(d.score >= 0.5 and d.status[rule] == "fp" for d in image.detections)
        errors[image.image["id"]] = missed + false
    least = min(errors[image.image["id"]] for image in chosen)
    rest = [n for i, n in errors.items() if i not in {image.image["id"] for image in chosen}]
    assert len(chosen) == 2 and least >= max(rest)
    slices, embedded = slice_data(status, made_run / "data" / "images", places)
    assert [one["n"] for one in slices] == [1, 2] == [number for number, _ in embedded]


def test_metrics_and_intervals_stand_in_the_tables(page, evaluation):
    value = evaluation["bbox_AP25"]
    boxes, masks = metric_tables(evaluation, {value.key: 55.16})
    assert (boxes["name"], masks["name"]) == ("Boxes", "Masks")
    row = next(r for r in boxes["rows"] if r["name"] == "AP at IoU 0.25")
    assert row["value"] == f"{100 * value.value:.2f}"
    assert row["interval"].startswith(f"{100 * value.interval.low:.1f} – ")
    assert row["paper"] == "55.16"
    assert len(boxes["rows"]) + len(masks["rows"]) == len(evaluation.by_name())
    for row in boxes["rows"]:
        assert f'<th scope="row">{row["name"]}</th><td>{row["value"]}</td>' in page


def test_origin_of_the_run(page):
    assert "<dt>Code</dt><dd>0123456789ab, with 1 changed file</dd>" in page
    assert "<dt>Seed</dt><dd>0</dd>" in page
    assert provenance_rows({}) == []
    packages = {"environment": {"packages": {"torch": "2", "a": "1"}, "gpu": "G", "python": "3"}}
    assert provenance_rows(packages) == [("Packages", "a 1, torch 2"), ("Device, Python", "G, 3")]


def test_strata_rise_in_size(evaluation):
    table = strata_table(evaluation)
    names = [name for name, _ in table["strata"]]
    assert names == [n for n in ("< 10 mm", "10-20 mm", "> 20 mm") if n in names]
    assert sum(count for _, count in table["strata"]) == evaluation.size.n_lesions
    metric, *cells = table["rows"][0]
    values = [100 * evaluation[f"bbox_AP10 {name}"].value for name in names]
    assert metric == "Boxes: AP at IoU 0.10"
    assert [cell.split()[0] for cell in cells] == [f"{value:.1f}" for value in values]
    assert [name for name, _ in table["bars"]] == [
        "Boxes: AP at IoU 0.25",
        "Boxes: Sensitivity at 5 FP per image, IoU 0.25",
        "Boxes: Sensitivity at 5 FP per image, IoU 0.50",
    ]
    assert strata_table(Evaluation(PROTOCOLS["deeplesion"])) is None


def test_first_threshold_is_the_one_at_one_false_positive():
    points = [{"fp": "0.5", "score": 0.8}, {"fp": "1", "score": 0.7}, {"fp": "2", "score": 0.1}]
    assert start_threshold(points) == 0.7
    assert start_threshold([{"fp": "1", "score": None}, points[2]]) == 0.1
    assert start_threshold([]) == 0.5


def test_text_in_names_can_not_break_out(made_run):
    value = MetricValue("bbox", "AP", Criterion("iou", 0.25), category="</script><b>", value=0.5)
    evaluation = Evaluation(PROTOCOLS["deeplesion"], values=(value,))
    status = status_of_images(read_ground_truth({"images": [], "annotations": []}), NONE)
    page = build_report(evaluation, status, made_run, title="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in page and "<b>" not in page.split("<h2")[4]
    assert "&lt;img src=x onerror=alert(1)&gt;" in page and "&lt;/script&gt;&lt;b&gt;" in page
    assert "The test set holds no slices." in page and 'id="list"' not in page


@pytest.mark.parametrize("protocol", ["luna", "picai"])
def test_a_report_under_another_protocol(made_run, tool, tmp_path, protocol):
    """The rules of the slice browser are the protocol's own."""
    shutil.copytree(made_run / "run", tmp_path / "run")
    files = [str(tmp_path / "run" / f"results.{kind}.json") for kind in ("bbox", "segm")]
    gt = str(made_run / "data" / "annotations" / "test.json")
    out = ["--out", str(tmp_path / "run" / "results.metrics.json")]
    argv = ["--gt", gt, "--pred", *files, "--protocol", protocol, "--bootstrap", "0"]
    assert tool("evaluate").main([*argv, *out]) == 0
    assert tool("report").main([str(tmp_path / "run"), "--quiet"]) == 0
    data = _data((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    label = {"luna": "_radius", "picai": "10"}[protocol]
    assert [rule["id"] for rule in data["rules"]] == [f"bbox{label}", f"segm{label}"]
    assert len(data["points"][f"bbox{label}"]) == 10


def test_masks_of_other_detections_are_left_out_and_told(made_run, tool, tmp_path):
    shutil.copytree(made_run / "run", tmp_path / "run")
    path = tmp_path / "run" / "results.segm.json"
    path.write_text(json.dumps(json.loads(path.read_text())[1:]))
    assert tool("report").main([str(tmp_path / "run"), "--quiet"]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "mask results are not of the same detections" in page
    assert [rule["id"] for rule in _data(page)["rules"]] == ["bbox25", "bbox50"]


def test_command_and_its_errors(made_run, tool, tmp_path, capsys):
    report = tool("report")
    out = tmp_path / "r.html"
    arguments = [str(made_run / "run"), "--out", str(out), "--max-slices", "3", "--title", "Mine"]
    assert report.main(arguments) == 0
    first = out.read_bytes()
    assert report.main(arguments) == 0 and out.read_bytes() == first
    assert b'<h1 id="h-summary">Mine</h1>' in first and b"3 of 12 slices" in first
    assert report.main([str(tmp_path)]) == 2
    assert "Run mmglan test" in capsys.readouterr().err
    assert report.main([*arguments, "--gt", str(tmp_path / "no.json")]) == 2
    assert "no.json" in capsys.readouterr().err


def test_thresholds_near_zero_stay_apart():
    scores = (0.95134, 0.0045123, 0.0000321, -1.25, None)
    points = tuple(OperatingPoint(1.0, 0.5, score) for score in scores)
    curve = ReportedCurve("bbox", Criterion("iou", 0.25), (1.0,), (0.5,), (0.9,), points)
    (table,) = operating_tables(Evaluation(PROTOCOLS["deeplesion"], curves=(curve,)))
    shown = [point["score"] for point in table["points"]]
    assert shown == ["0.9513", "0.004512", "3.21e-05", "-1.25", "–"]


def test_cards_name_the_level_as_it_is():
    interval = Interval(0.4, 0.6, 0.999, "bca", 10)
    value = MetricValue("bbox", "AP", Criterion("iou", 0.25), value=0.5, interval=interval)
    (card,) = cards(Evaluation(PROTOCOLS["deeplesion"], values=(value,)))
    assert card["interval"] == "99.9 % interval 40.0 – 60.0"


def test_cards_of_a_run(evaluation):
    assert [card["name"] for card in cards(evaluation)] == [
        "Boxes: AP at IoU 0.25",
        "Boxes: Sens. at 5 FP / image, IoU 0.25",
        "Boxes: AP at IoU 0.50",
        "Boxes: Sens. at 5 FP / image, IoU 0.50",
        "Masks: AP at IoU 0.25",
        "Masks: Sens. at 5 FP / image, IoU 0.25",
    ]


def test_names_of_a_received_run_are_no_links_in_the_charts(status, made_run, tool):
    link = "<a href='http://evil.example'>x</a>\n"
    scalars = {f"sigma/{link}": ([1, 2], [1.0, 0.9])}
    evaluation = read_evaluation(made_run / "run" / "results.metrics.json")
    page = build_report(
        evaluation, status, made_run / "data" / "images", title=link, scalars=scalars, max_slices=0
    )
    assert '"\\u003ca href' not in page and "<a href='http://evil" not in page
    assert "&lt;a href='http://evil.example'>x&lt;/a>" in page
