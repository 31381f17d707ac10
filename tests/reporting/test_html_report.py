"""The report as a file: complete, self-contained, free of identifiers."""

import json
import re

import pytest

from mmglan.reporting.case_data import case_data, choose, totals
from mmglan.reporting.findings import load_results, load_truth, mark_findings
from mmglan.reporting.html_report import build_report
from mmglan.reporting.page_tables import (
    cards,
    number_tables,
    operating_tables,
    start_threshold,
)
from mmglan.reporting.provenance import provenance_rows
from mmglan.reporting.size_strata import strata_table


@pytest.fixture(scope="module")
def page(made_report):
    return made_report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(page):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1]
    return json.loads(text)


@pytest.fixture(scope="module")
def findings(made_run):
    truth = load_truth(made_run / "data" / "annotations" / "test.json")
    return mark_findings(truth, load_results(made_run / "run" / "results.bbox.json", truth))


def test_no_identifier_and_no_path_is_in_it(page, made_run):
    for secret in ("SECRET", "NAME-OF-SITE", str(made_run), "0001.png"):
        assert secret not in page, secret


def test_it_asks_for_nothing_from_outside(page):
    own = page.split('<script type="application/json" id="data">')[0]
    assert not re.search(r'(?:src|href)="(?!#|data:)', own)
    assert "default-src 'none'" in own and "http" not in own.replace("http-equiv", "")


def test_counts_by_score_threshold(data, findings):
    assert data["n_images"] == 12 and data["n_lesions"] == sum(len(f.lesions) for f in findings)
    for threshold in (0.25, 0.5):
        for score in (0.0, 0.3, 0.6, 0.95):
            found = sum((t.found_at[threshold] or -1) >= score for f in findings for t in f.lesions)
            record = data["totals"][f"{threshold:g}"]
            assert sum(s >= score for s in record["found"]) == found
    assert totals([], (0.25,)) == {"0.25": {"found": [], "fp": []}}


def test_the_counts_are_those_of_the_froc_curve(data, made_run):
    metrics = json.loads((made_run / "run" / "results.metrics.json").read_text())
    curve = metrics["froc"]["bbox"]["0.25"]
    record = data["totals"]["0.25"]
    for fp, sensitivity, score in zip(
        curve["fp"], curve["sensitivity"], curve["score"], strict=True
    ):
        score = round(score, 6)
        assert sum(s >= score for s in record["fp"]) == round(fp * data["n_images"])
        assert sum(s >= score for s in record["found"]) == round(sensitivity * data["n_lesions"])


def test_cases(data):
    one, two, three, four = data["cases"][:4]
    assert one["label"] == "patient 1, slice 11" and (one["w"], one["h"]) == (220, 180)
    assert one["preds"][0]["t"] == {"0.25": "tp", "0.5": "tp"}
    assert one["preds"][1]["t"]["0.25"] == "dup"
    assert one["lesions"][0]["f"] == {"0.25": 0.95, "0.5": 0.95}
    assert one["lesions"][0]["mm"] == "27 × 22 mm" and one["lesions"][0]["c"].startswith("M")
    assert two["lesions"][0]["f"] == {"0.25": None, "0.5": None}
    assert three["preds"][0]["t"]["0.25"] == "fp" and three["preds"][0]["o"] is None
    assert four["lesions"] == four["preds"] == []


def test_few_slices_are_the_ones_with_errors(findings, made_run):
    chosen = choose(findings, 2, 0.25, 0.5)
    errors = {f.image["id"]: 0 for f in findings}
    for f in findings:
        errors[f.image["id"]] += sum((t.found_at[0.25] or -1) < 0.5 for t in f.lesions)
        errors[f.image["id"]] += sum(
            p.score >= 0.5 and p.status[0.25] == "fp" for p in f.predictions
        )
    least = min(errors[f.image["id"]] for f in chosen)
    rest = [n for i, n in errors.items() if i not in {f.image["id"] for f in chosen}]
    assert len(chosen) == 2 and least >= max(rest)
    cases, pictures = case_data(findings, made_run / "data" / "images", chosen=chosen)
    assert [c["n"] for c in cases] == [1, 2] == [n for n, _ in pictures]


def test_figures_and_intervals_stand_in_the_tables(page, made_run):
    metrics = json.loads((made_run / "run" / "results.metrics.json").read_text())
    boxes, masks = number_tables(metrics, {"bbox_AP25": 55.16})
    assert (boxes["name"], masks["name"]) == ("Boxes", "Masks")
    row = next(r for r in boxes["rows"] if r["name"] == "AP at IoU 0.25")
    assert row["value"] == f"{100 * metrics['metrics']['bbox_AP25']:.2f}"
    low = metrics["intervals"]["bbox_AP25"]["low"]
    assert row["interval"].startswith(f"{100 * low:.1f} – ") and row["paper"] == "55.16"
    assert len(boxes["rows"]) + len(masks["rows"]) == len(metrics["metrics"])
    for row in boxes["rows"]:
        assert f'<th scope="row">{row["name"]}</th><td>{row["value"]}</td>' in page


def test_origin_of_the_run(page):
    assert "<dt>Code</dt><dd>0123456789ab, with 1 changed file</dd>" in page
    assert "<dt>Seed</dt><dd>0</dd>" in page
    assert provenance_rows({}) == []
    packages = {"environment": {"packages": {"torch": "2", "a": "1"}, "gpu": "G", "python": "3"}}
    assert provenance_rows(packages) == [("Packages", "a 1, torch 2"), ("Device, Python", "G, 3")]


def test_strata_rise_in_size(made_run):
    metrics = json.loads((made_run / "run" / "results.metrics.json").read_text())
    table = strata_table(metrics)
    names = [name for name, _ in table["strata"]]
    assert names == [n for n in ("< 10 mm", "10-20 mm", "> 20 mm") if n in names]
    assert sum(count for _, count in table["strata"]) == metrics["n_lesions"]
    figure, *cells = table["rows"][0]
    values = [100 * metrics["strata"][name]["metrics"]["bbox_AP10"] for name in names]
    assert figure == "Boxes: AP at IoU 0.10"
    assert [cell.split()[0] for cell in cells] == [f"{value:.1f}" for value in values]
    assert strata_table({"strata": {}}) is None


def test_first_threshold_is_the_one_at_one_false_positive():
    points = [{"fp": "0.5", "score": 0.8}, {"fp": "1", "score": 0.7}, {"fp": "2", "score": 0.1}]
    assert start_threshold(points) == 0.7
    assert start_threshold([{"fp": "1", "score": None}, points[2]]) == 0.1
    assert start_threshold([]) == 0.5


def test_text_in_names_can_not_break_out(made_run, findings):
    metrics = {"schema": 1, "metrics": {"</script><b>": 0.5}, "froc": {}}
    page = build_report(metrics, [], made_run, title="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in page and "<b>" not in page.split("<h2")[4]
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "The test set holds no slices." in page and 'id="list"' not in page


def test_command_and_its_errors(made_run, tool, tmp_path, capsys):
    report = tool("report")
    out = tmp_path / "r.html"
    arguments = [str(made_run / "run"), "--out", str(out), "--max-cases", "3", "--title", "Mine"]
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
    points = [{"fp": 1.0, "sensitivity": 0.5, "score": score} for score in scores]
    curve = {"fp": [1.0], "operating_points": points}
    (table,) = operating_tables({"froc": {"bbox": {"0.25": curve}}})
    shown = [point["score"] for point in table["points"]]
    assert shown == ["0.9513", "0.004512", "3.21e-05", "-1.25", "–"]


def test_cards_name_the_level_as_it_is():
    interval = {"low": 0.4, "high": 0.6, "level": 0.999}
    (card,) = cards({"metrics": {"bbox_AP25": 0.5}, "intervals": {"bbox_AP25": interval}})
    assert card["interval"] == "99.9 % interval 40.0 – 60.0"
