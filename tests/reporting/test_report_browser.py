"""The report in a real browser: it opens, shows slices, filters, obeys keys and fits a phone."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait


@pytest.fixture
def opened(browser, made_report):
    """The report at desktop size, freshly opened; no test may leave an error in the console."""
    yield _open(browser, made_report, 1440, 900)
    assert browser.get_log("browser") == []


def _open(browser, page, width, height, mobile=False):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
    )
    browser.get(page.as_uri())
    WebDriverWait(browser, 30).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, "#froc-plot .main-svg")
    )
    return browser


def _one(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def _caption(browser):
    return _one(browser, "#caption").text


def _shown(browser):
    return [
        row.text.split("\n")[0]
        for row in browser.find_elements(By.CSS_SELECTOR, "#list li")
        if row.is_displayed()
    ]


def _press(browser, *keys):
    actions = ActionChains(browser)
    for key in keys:
        actions.send_keys(key)
    actions.perform()


def _threshold(browser, value):
    browser.execute_script(
        "const t = document.getElementById('thr'); t.value = arguments[0];"
        "t.dispatchEvent(new Event('input'));",
        value,
    )


def _tags(browser):
    return [tag.text for tag in browser.find_elements(By.CSS_SELECTOR, "#on-slice .tag")]


def test_it_opens_on_the_first_slice_with_image_and_colours(opened):
    assert _caption(opened).startswith("No. 1 (1 of 12) · patient 1, slice 11")
    _threshold(opened, 0.5)
    size = opened.execute_async_script(
        "const done = arguments[0], i = new Image(); i.onload = () => done([i.width, i.height]);"
        "i.src = document.querySelector('#svg image').getAttribute('href');"
    )
    assert size == [220, 180]
    colours = opened.execute_script(
        "const c = (s, p) => getComputedStyle(document.querySelector(s))[p];"
        "return [c('.shape.gt', 'stroke'), c('.shape.pred', 'stroke'), c('text.score', 'fill')]"
    )
    assert colours == ["rgb(255, 255, 0)", "rgb(0, 255, 0)", "rgb(255, 0, 0)"]
    scores = [e.text for e in opened.find_elements(By.CSS_SELECTOR, "text.score")]
    assert scores == ["0.95", "0.60"]
    assert _tags(opened) == ["TP", "dup."]
    label = _one(opened, "#svg").get_attribute("aria-label")
    assert label == "No. 1, patient 1, slice 11: 1 lesions found, 0 missed, 0 false positives."


def test_filters(opened):
    _threshold(opened, 0.5)
    for name, case, tag in (("tp", "No. 1", "TP"), ("fn", "No. 2", "FN"), ("fp", "No. 3", "FP")):
        button = _one(opened, f'[data-filter="{name}"]')
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        shown = _shown(opened)
        assert case in shown and "No. 4" not in shown
        assert _one(opened, f'[data-filter="{name}"] b').text == str(len(shown))
        opened.find_element(By.XPATH, f"//ol//button[contains(., '{case}')]").click()
        assert _caption(opened).startswith(f"{case} (") and tag in _tags(opened)
    _one(opened, '[data-filter="all"]').click()
    assert len(_shown(opened)) == 12


def test_threshold_changes_what_is_found(opened):
    _threshold(opened, 0.5)
    assert "No. 1" not in _shown_with(opened, "fn")
    _threshold(opened, 0.96)
    assert "No. 1" in _shown_with(opened, "fn")
    opened.find_element(By.XPATH, "//ol//button[contains(., 'No. 1')]").click()
    assert opened.find_elements(By.CSS_SELECTOR, ".shape.pred") == []
    assert _one(opened, "text.missed").text == "missed" and _tags(opened) == ["FN"]
    assert "score ≥ 0.960" in _one(opened, "#live").text
    _threshold(opened, 1)
    _one(opened, '[data-filter="tp"]').click()
    assert _one(opened, "#empty").is_displayed() and _shown(opened) == []


def _shown_with(browser, name):
    _one(browser, f'[data-filter="{name}"]').click()
    return _shown(browser)


def test_operating_points_and_iou(opened):
    point = Select(_one(opened, "#point"))
    assert point.first_selected_option.text == "1 FP per slice"
    assert " (1.00 per slice)" in _one(opened, "#live").text
    point.select_by_visible_text("0.25 FP per slice")
    assert " (0.25 per slice)" in _one(opened, "#live").text
    at_25 = _one(opened, "#live").text
    Select(_one(opened, "#rule")).select_by_visible_text("Boxes, IoU 0.50")
    assert _one(opened, "#live").text != at_25
    mark = opened.execute_script(
        "const d = document.getElementById('froc-plot').data; return d[d.length - 1].y[0]"
    )
    assert f"({mark:.1f} %)" in _one(opened, "#live").text


def test_keyboard(opened):
    _press(opened, Keys.ARROW_RIGHT)
    assert _caption(opened).startswith("No. 2 (2 of 12)")
    _press(opened, Keys.END)
    assert _caption(opened).startswith("No. 12 (12 of 12)")
    _press(opened, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert _caption(opened).startswith("No. 11 (11 of 12)")
    _press(opened, Keys.HOME, "2")
    assert _one(opened, '[data-filter="fp"]').get_attribute("aria-pressed") == "true"
    _press(opened, "0", Keys.HOME)
    whole = _one(opened, "#svg").get_dom_attribute("viewBox")
    _press(opened, "f")
    assert _one(opened, "#svg").get_dom_attribute("viewBox") != whole
    _press(opened, "f")
    assert _one(opened, "#svg").get_dom_attribute("viewBox") == whole
    _press(opened, "g", "p")
    assert opened.find_elements(By.CSS_SELECTOR, ".shape") == []
    before = float(_one(opened, "#thr-value").text)
    _press(opened, "]")
    assert float(_one(opened, "#thr-value").text) == pytest.approx(before + 0.05, abs=0.0011)
    # Keys belong to the slider while it has the focus.
    _one(opened, "#thr").send_keys(Keys.ARROW_RIGHT)
    assert _caption(opened).startswith("No. 1 (")


def test_zoom_pan_and_brightness(opened):
    svg = _one(opened, "#svg")
    assert svg.get_dom_attribute("viewBox") == "0 0 220 180"
    _one(opened, "#zoom-in").click()
    left, top, width, _ = map(float, svg.get_dom_attribute("viewBox").split())
    assert width == pytest.approx(220 / 1.4) and left + width / 2 == pytest.approx(110)
    stage = _one(opened, "#stage")
    ActionChains(opened).drag_and_drop_by_offset(stage, 40, 0).perform()
    moved, same, *_ = map(float, svg.get_dom_attribute("viewBox").split())
    assert moved < left and same == pytest.approx(top, abs=1e-6)
    assert _caption(opened).startswith("No. 1 (")
    _one(opened, "#fit").click()
    assert svg.get_dom_attribute("viewBox") == "0 0 220 180"
    opened.execute_script(
        "const b = document.getElementById('bright'); b.value = 2;"
        "b.dispatchEvent(new Event('input'));"
    )
    assert _one(opened, "#svg image").get_dom_attribute("filter") == "url(#window)"
    transfer = _one(opened, "#svg feFuncG")
    assert float(transfer.get_dom_attribute("slope")) == 2
    assert float(transfer.get_dom_attribute("intercept")) == 0


def test_a_detection_is_marked_from_the_table(opened):
    _threshold(opened, 0.5)
    row = _one(opened, "#on-slice tr")
    row.click()
    assert len(opened.find_elements(By.CSS_SELECTOR, "rect.shape.pred.on")) == 1
    row.send_keys(Keys.ENTER)
    assert opened.find_elements(By.CSS_SELECTOR, "rect.shape.on") == []


def test_everything_can_be_named_and_reached(opened):
    nameless = opened.execute_script(
        "return [...document.querySelectorAll('button, select, input')].filter(e =>"
        "!(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length)))"
        ".map(e => e.outerHTML)"
    )
    assert nameless == []
    assert opened.execute_script("return document.querySelectorAll('[id]').length") == (
        opened.execute_script(
            "return new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
        )
    )


def test_plots_are_drawn_and_nothing_was_fetched(opened):
    for name in ("froc", "strata", "sigma", "weight", "loss"):
        drawn = f"#{name}-plot .trace path"
        assert opened.find_elements(By.CSS_SELECTOR, drawn), name
    fetched = opened.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(n => !n.startsWith('data:') && !n.startsWith('blob:'))"
    )
    assert fetched == []


def test_phone(browser, made_report):
    _open(browser, made_report, 390, 844, mobile=True)
    inner, scroll = browser.execute_script(
        "return [innerWidth, document.documentElement.scrollWidth]"
    )
    assert inner == 390 and scroll <= 390
    heights = browser.execute_script(
        "return [...document.querySelectorAll('#slices button')].filter(b => b.offsetParent)"
        ".map(b => b.offsetHeight)"
    )
    assert min(heights) >= 44
    browser.execute_script(
        "document.getElementById('stage').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    _swipe(browser, 300, 80)
    assert _caption(browser).startswith("No. 2 (")
    _swipe(browser, 80, 300)
    assert _caption(browser).startswith("No. 1 (")
    _one(browser, "#next").click()
    assert _caption(browser).startswith("No. 2 (")
    # The legend lies below the plot and not on it.
    plot, legend = browser.execute_script(
        "return ['.bglayer', '.legend'].map(c => document.querySelector('#froc-plot ' + c)"
        ".getBoundingClientRect()).map(r => [r.top, r.bottom])"
    )
    assert plot[1] <= legend[0] and plot[1] - plot[0] >= 150
    left, _, width, _ = _stage(browser)
    assert left >= 0 and left + width <= 390
    assert browser.get_log("browser") == []


def _stage(browser):
    return browser.execute_script(
        "const r = document.getElementById('stage').getBoundingClientRect();"
        "return [r.left, r.top, r.width, r.height]"
    )


def _swipe(browser, start, end):
    _, top, _, height = _stage(browser)
    y = top + height / 2
    steps = [("touchStart", [start]), ("touchMove", [(start + end) / 2]), ("touchMove", [end])]
    for kind, xs in [*steps, ("touchEnd", [])]:
        points = [{"x": x, "y": y} for x in xs]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
