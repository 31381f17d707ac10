"""The FROC plot of the report, in a real browser."""

import json

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait


def _froc(browser):
    return browser.execute_script(
        "return document.getElementById('froc-plot').data.filter(t => t.visible !== 'legendonly')"
        ".map(t => ({name: t.name || '', x: t.x, y: t.y, text: t.text}))"
    )


def test_a_detector_without_false_positives_has_a_curve(browser, made_run, tool, tmp_path):
    """0 false positives have no place on a logarithmic axis: the plot was empty."""
    truth = json.loads((made_run / "data" / "annotations" / "test.json").read_text())
    found = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9}
        for a in truth["annotations"][1:]
    ]
    (tmp_path / "results.bbox.json").write_text(json.dumps(found))
    gt = ["--gt", str(made_run / "data" / "annotations" / "test.json")]
    files = ["--pred", str(tmp_path / "results.bbox.json"), "--bootstrap", "20"]
    out = ["--out", str(tmp_path / "results.metrics.json")]
    assert tool("evaluate").main([*gt, *files, *out]) == 0
    images = ["--images", str(made_run / "data" / "images")]
    assert tool("report").main([str(tmp_path), *gt, *images]) == 0
    browser.get((tmp_path / "report.html").as_uri())
    WebDriverWait(browser, 30).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, "#froc-plot .main-svg")
    )
    share = 100 * len(found) / len(truth["annotations"])
    curve = next(t for t in _froc(browser) if t["name"] == "Boxes, IoU 0.25")
    assert curve["x"] == [1 / 32, 8] and curve["text"] == ["0", "8"]
    assert curve["y"] == pytest.approx([share, share])
    mark = _froc(browser)[-1]
    assert mark["x"] == [1 / 32] and mark["y"] == pytest.approx([share])
    assert browser.find_elements(By.CSS_SELECTOR, "#froc-plot .trace path.js-line")
    Select(browser.find_element(By.CSS_SELECTOR, "#froc-axis")).select_by_visible_text("linear")
    assert next(t for t in _froc(browser) if t["name"] == "Boxes, IoU 0.25")["x"] == [0, 8]
    assert _froc(browser)[-1]["x"] == [0]
    assert browser.get_log("browser") == []
