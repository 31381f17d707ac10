"""The study page in a real browser: every action, by mouse, keys and touch, and what it exports."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.volumes.volume import read_volume
from mmglan.detections.findings import Findings, ScanGeometry
from mmglan.review.study_page import build_page

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


class Page:
    """The opened page and the ways to act on it; positions are pixels of axial slices."""

    def __init__(self, browser, path, downloads, width=1280, height=800, mobile=False):
        self.browser, self.downloads = browser, downloads
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.cdp("Emulation.setDeviceMetricsOverride", **size)
        behaviour = {"behavior": "allow", "downloadPath": str(downloads)}
        self.cdp("Browser.setDownloadBehavior", **behaviour)
        # Leaving a page with changes asks; a test begins without those of another.
        browser.execute_script(
            "window.onbeforeunload = null; if (window.edits) edits.exported = true"
        )
        self.open(path)
        self.js("localStorage.clear(); edits.exported = true")
        self.open(path)

    def open(self, path):
        self.browser.get(path.as_uri())
        WebDriverWait(self.browser, 30).until(
            lambda b: b.execute_script("return document.documentElement.dataset.ready === 'yes'")
        )

    def cdp(self, name, **options):
        return self.browser.execute_cdp_cmd(name, options)

    def js(self, code, *arguments):
        return self.browser.execute_script(code, *arguments)

    def click(self, selector):
        self.browser.find_element(By.CSS_SELECTOR, selector).click()

    def text(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector).text

    def keys(self, *keys, modifier=None):
        self.js("document.querySelector('.stage.main').focus()")
        actions = ActionChains(self.browser)
        if modifier:
            actions.key_down(modifier)
        for key in keys:
            actions.send_keys(key)
        if modifier:
            actions.key_up(modifier)
        actions.perform()

    def on_screen(self, point):
        return self.js(
            "views.axial.measure(); const r = views.axial.stage.getBoundingClientRect(),"
            "[x, y] = views.axial.toScreen(arguments[0]); return [r.left + x, r.top + y];",
            list(map(float, point)),
        )

    def drag(self, start, end, button="left"):
        start, end = np.array([self.on_screen(start), self.on_screen(end)])
        for kind, (x, y) in (
            ("mousePressed", start),
            ("mouseMoved", (start + end) / 2),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            held = {"button": button, "buttons": 2 if button == "right" else 1}
            self.cdp("Input.dispatchMouseEvent", type=kind, x=x, y=y, clickCount=1, **held)

    def marks(self):
        return self.js("return edits.now.marks")

    def cursor(self):
        return self.js("return cursor")

    def exported(self, kind, name):
        path = self.downloads / name
        path.unlink(missing_ok=True)
        self.click(f'[data-save="{kind}"]')
        for _ in range(200):
            if path.is_file() and path.stat().st_size:
                return path
            time.sleep(0.05)
        raise AssertionError(f"{name} was not saved")


@pytest.fixture
def page(browser, study, tmp_path):
    opened = Page(browser, study.page, tmp_path)
    yield opened
    fetched = opened.js(
        "return performance.getEntriesByType('resource').map(e => e.name)"
        ".filter(n => !n.startsWith('data:') && !n.startsWith('blob:'))"
    )
    opened.js("edits.exported = true")
    assert fetched == [] and browser.get_log("browser") == []


def test_the_first_finding_is_shown(page, study):
    recist = study.findings.lesions[0].recist
    assert page.cursor()["z"] == recist.slice_index
    assert f"Slice {recist.slice_index + 1} of {len(study.volume.array)}" in page.text("#place")
    listed = page.browser.find_elements(By.CSS_SELECTOR, "#list li")
    assert len(listed) == len(study.findings.lesions)
    assert (
        f"score {study.findings.lesions[0].score:.2f}" in listed[0].text
        and f"{recist.long_axis_mm:.1f}" in listed[0].text
    )
    # The picture is the slice: its pixels go through the window as computed here.
    z, y, x = recist.slice_index, 5, 7
    grey = page.js(
        "return views.axial.pixels.data[4 * (arguments[0] * COLUMNS + arguments[1])]", y, x
    )
    low, high = page.js("return DATA.range")
    black, white = page.js("return DATA.window")
    value = round((float(study.volume.array[z, y, x]) - low) / (high - low) * 255)
    value = low + min(max(value, 0), 255) * (high - low) / 255
    assert grey == pytest.approx(255 * np.clip((value - black) / (white - black), 0, 1), abs=1)


def test_slices_by_wheel_keys_slider_and_the_other_views(page, study):
    depth, rows, columns = study.volume.array.shape
    page.keys(Keys.END)
    assert page.cursor()["z"] == 0
    page.keys(Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_DOWN)
    assert page.cursor()["z"] == 1
    page.keys(Keys.HOME, Keys.PAGE_DOWN)
    assert page.cursor()["z"] == depth - 6
    x, y = page.on_screen((columns / 2, rows / 2))
    page.cdp("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=120)
    assert page.cursor()["z"] == depth - 7
    page.js("const s = $('slice'); s.value = 3; s.dispatchEvent(new Event('input'))")
    assert page.cursor()["z"] == 3
    page.click("#coronal")  # its middle
    assert abs(page.cursor()["x"] - columns / 2) <= 1 and abs(page.cursor()["z"] - depth / 2) <= 1
    page.click("#sagittal")
    assert abs(page.cursor()["y"] - rows / 2) <= 1
    page.drag((4, 5), (4, 5))
    assert (page.cursor()["x"], page.cursor()["y"]) == (4, 5)
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, modifier=Keys.SHIFT)
    assert (page.cursor()["x"], page.cursor()["y"]) == (5, 6)
    ticks = page.browser.find_elements(By.CSS_SELECTOR, "#ticks i")
    assert len(ticks) == len(study.findings.lesions)


def test_orientation_is_radiological(page):
    assert page.js("return Object.values(views).map(v => v.letters.join(''))") == [
        *("RLAP", "RLHF", "APHF")
    ]
    # x grows to the patient's left, which is on the right of the screen; z to the head, upwards.
    assert page.js("return views.axial.toScreen([1, 0])[0] > views.axial.toScreen([0, 0])[0]")
    up = "cursor.z = arguments[0]; return views.coronal.toScreen(views.coronal.place())[1]"
    assert page.js(up, 5) < page.js(up, 4)


def test_window_zoom_and_overlays(page):
    before = page.js("return [intensity.level, intensity.width]")
    page.drag((4, 4), (9, 4), button="right")
    level, width = page.js("return [intensity.level, intensity.width]")
    assert width > before[1] and level == pytest.approx(before[0])
    page.keys("+")
    assert page.js("return views.axial.zoom") == pytest.approx(1.4)
    centre = page.js("return views.axial.centre")
    page.drag(centre, (centre[0] - 2, centre[1]))
    assert page.js("return views.axial.centre")[0] == pytest.approx(centre[0] + 2, abs=0.3)
    page.keys("0")
    assert page.js("return views.axial.zoom") == 1
    for key, name, at_first in (("m", "mask", True), ("b", "box", False), ("x", "cross", True)):
        page.keys(key)
        pressed = page.js(f"return document.querySelector('[data-show={name}]').ariaPressed")
        assert pressed == str(not at_first).lower()


def test_judging_undoing_and_the_restored_state(page, study):
    page.keys("a")
    assert page.marks()[0]["status"] == "accepted"
    page.keys("n", "r")
    Select(page.browser.find_element(By.ID, "reason")).select_by_visible_text("vessel")
    assert (page.marks()[1]["status"], page.marks()[1]["reason"]) == ("rejected", "vessel")
    site = page.browser.find_element(By.ID, "site")
    site.send_keys("inguinal", Keys.TAB)
    page.browser.find_element(By.ID, "comment").send_keys('a vein, "sure"', Keys.TAB)
    written = page.marks()[1]
    assert (written["site"], written["comment"]) == ("inguinal", 'a vein, "sure"')
    page.keys("z", "z", modifier=Keys.CONTROL)
    assert (page.marks()[1]["site"], page.marks()[1]["comment"]) == ("", "")
    page.keys("y", modifier=Keys.CONTROL)
    assert page.marks()[1]["site"] == "inguinal"
    assert "export" in page.text("#unsaved")
    kept = page.marks()
    page.js("edits.exported = true")  # or leaving would ask
    page.open(study.page)
    assert page.marks() == kept and "earlier visit" in page.text("#unsaved")
    page.click("#start-over")
    assert {mark["status"] for mark in page.marks()} == {"open"}
    page.click("#undo")
    assert page.marks() == kept


def test_leaving_with_changes_asks(page):
    asks = "return !window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    assert page.js(asks) is False
    page.keys("u")
    assert page.js(asks) is True


def test_moving_an_end_point(page, study):
    points = np.array(page.marks()[0]["points"])
    target = points[0] + (points[0] - points[1]) * 0.25
    page.drag(points[0], target)
    moved = np.array(page.marks()[0]["points"])
    np.testing.assert_allclose(moved[0], target, atol=0.1)
    np.testing.assert_allclose(moved[1], points[1], atol=1e-9)
    assert perpendicular(moved, study.volume.spacing_mm) and page.marks()[0]["edited"]
    page.keys("e", "e", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)  # the second end, by keyboard
    np.testing.assert_allclose(page.marks()[0]["points"][1], points[1] + (0.5, 0), atol=1e-9)
    page.keys(Keys.ESCAPE, *(2 * [Keys.ARROW_UP]))
    page.keys("z", "z", "z", modifier=Keys.CONTROL)
    np.testing.assert_allclose(page.marks()[0]["points"], points, atol=1e-9)


def perpendicular(points, spacing):
    long, short = (np.diff(points[i : i + 2], axis=0)[0] * spacing[:2] for i in (0, 2))
    return abs(long @ short) < 1e-6 * np.linalg.norm(long) * np.linalg.norm(short)


LINES = [((6.0, 6.0), (16.0, 9.0)), ((11.9, 4.3), (10.4, 11.0))]


def draw_cross(page):
    page.keys("d")
    for line in LINES:
        page.drag(*line)


def test_drawing_a_cross(page, study):
    before = len(page.marks())
    page.keys(Keys.END, Keys.ARROW_UP)
    page.keys("d")
    page.drag(*LINES[0])
    page.drag((6.0, 12.0), (16.0, 15.0))  # beside the first line
    assert len(page.marks()) == before and "has to cross" in page.text("#live")
    page.drag(*LINES[1])
    mark = page.marks()[-1]
    assert len(page.marks()) == before + 1 and mark["slice"] == 1 and mark["status"] == "accepted"
    assert perpendicular(np.array(mark["points"]), study.volume.spacing_mm)
    drawn = np.array(mark["points"])
    nearest = [np.linalg.norm(drawn - end, axis=1).min() for end in LINES[0]]
    assert max(nearest) < 0.1
    page.keys(Keys.DELETE)
    assert len(page.marks()) == before
    page.keys("z", modifier=Keys.CONTROL)
    assert len(page.marks()) == before + 1


def test_exports_come_back(page, study, tmp_path):
    page.keys("a", "n", "r")
    page.js("document.activeElement.blur()")
    page.keys(Keys.END, Keys.ARROW_UP)
    draw_cross(page)
    page.keys("g")
    page.drag((18.0, 14.0), (20.0, 14.0))
    page.click("#complete")
    page.browser.find_element(By.ID, "reader").send_keys("R1", Keys.TAB)
    table = read_bookmarks(page.exported("table", "v0001.review.csv"))
    assert table.errors == [] and table.notes == []
    assert (len(table.records), len(table.rejected), len(table.ignored)) == (2, 1, 1)
    assert table.complete_volumes == {"v0001"} and table.ignored[0].shape == "line"
    for record, mark in zip(table.records, [page.marks()[0], page.marks()[-1]], strict=True):
        placed = place(record, study.volume)
        shown = page.js("return ordered(markOf(arguments[0]).points)", mark["id"])
        assert placed.slice_index == mark["slice"]
        np.testing.assert_allclose(placed.bookmark.points(), shown, atol=0.1)
    drawn = place(table.records[-1], study.volume).bookmark.points()
    assert max(np.linalg.norm(drawn - end, axis=1).min() for end in LINES[0]) < 0.1
    markups = page.exported("markups", "v0001.mrk.json")
    again = read_bookmarks(markups).records
    assert len(again) == 2
    ends = [np.sort(place(r, study.volume).bookmark.points(), axis=0) for r in again]
    assert any(np.allclose(np.sort(drawn, axis=0), one, atol=0.1) for one in ends)
    review = json.loads(page.exported("review", "v0001.review.json").read_text())
    assert review["reader"] == "R1" and review["date"] == "" and review["complete"] is True
    statuses = [mark["status"] for mark in review["marks"]]
    assert statuses[:2] == ["accepted", "rejected"] and statuses[-1] == "accepted"
    assert not page.browser.find_element(By.ID, "unsaved-box").is_displayed()


def test_everything_by_keyboard(page):
    page.keys("c", "e", Keys.ARROW_LEFT, Keys.ESCAPE)
    drawn = page.marks()[-1]
    assert drawn["id"] == "d1" and drawn["edited"]
    page.keys("h", "e", "e", Keys.ARROW_RIGHT)
    (region,) = page.js("return edits.now.regions")
    assert region["slice"] == page.cursor()["z"]
    page.keys(Keys.DELETE)
    assert page.js("return edits.now.regions") == []
    page.keys("n")
    assert page.js("return selection.id") == "f0"
    page.keys("p", "?")
    assert page.js("return selection.id") == "d1" and page.js("return $('keys').open")


@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_fault_of_accessibility(browser, study, tmp_path, width):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; .ci/install_axe.sh installs it")
    page = Page(browser, study.page, tmp_path, width, 844, mobile=width < 500)
    page.keys("r")
    page.js(AXE.read_text("utf-8"))
    found = browser.execute_async_script(
        "axe.run().then(arguments[0].bind(null), e => arguments[0]({error: String(e)}))"
    )
    page.js("edits.exported = true")
    assert "error" not in found
    serious = [v["id"] for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert serious == []


def test_phone(browser, study, tmp_path):
    page = Page(browser, study.page, tmp_path, 390, 844, mobile=True)
    assert page.js("return document.documentElement.scrollWidth") <= 390
    heights = page.js(
        "return [...document.querySelectorAll('button')].filter(b => b.offsetParent)"
        ".map(b => b.offsetHeight)"
    )
    assert min(heights) >= 44
    # However many findings there are, the buttons that judge one are on the screen with the list.
    top = "document.querySelector(arguments[0]).getBoundingClientRect().top"
    judge, head = (page.js(f"return {top}", s) for s in ('[data-judge="accepted"]', ".head"))
    assert 0 < judge - head < 700
    before = page.cursor()["z"]
    x, y = page.on_screen((10, 10))
    for kind, at in (("touchStart", y), ("touchMove", y + 12), ("touchMove", y + 24)):
        page.cdp("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": at}])
    page.cdp("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert page.cursor()["z"] == max(0, before - 3)
    assert browser.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "seconds"), [(20, 3.0), (200, None)])
def test_opening_and_scrolling_large_volumes(browser, tmp_path, depth, seconds):
    rng = np.random.default_rng(0)
    array = rng.normal(400, 60, (depth, 512, 512)).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    sitk.WriteImage(image, str(tmp_path / "large.nii.gz"))
    volume = read_volume(tmp_path / "large.nii.gz")
    path = tmp_path / "large.html"
    path.write_text(build_page(Findings("v0001", ScanGeometry.of(volume), ()), volume), "utf-8")
    page = Page(browser, path, tmp_path)
    start = time.perf_counter()
    page.open(path)
    assert seconds is None or time.perf_counter() - start < seconds
    frames = browser.execute_async_script(
        "const done = arguments[0], start = performance.now(); let n = 0;"
        "function next() {"
        "  moveCursor({ z: n % DEPTH });"
        "  requestAnimationFrame(() => {"
        "    n += 1;"
        "    const passed = performance.now() - start;"
        "    if (passed < 2000) next(); else done(1000 * n / passed);"
        "  });"
        "} next();"
    )
    assert frames >= 20
