"""What the study page holds: the scan, the findings, and no way out."""

import base64
import json
import re
import zlib

import numpy as np
import pytest

from mmglan.review.bookmarked_lesions import lesions_of
from mmglan.review.embedded_volume import embed
from mmglan.review.study_page import PAGE, build_page


def data_of(page: str) -> dict:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(text)


def unpacked(text: str, width: int) -> np.ndarray:
    """The inverse of what the page embeds, by another way than its own."""
    differences = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.cumsum(differences.reshape(-1, width), axis=1, dtype=np.uint8)


def test_voxels_come_back_within_half_a_step():
    array = np.random.default_rng(0).normal(100, 40, (3, 7, 5)).astype(np.float32)
    packed = embed(array)
    step = (packed.high - packed.low) / 255
    for image, text in zip(array, packed.slices, strict=True):
        back = packed.low + unpacked(text, 5) * step
        np.testing.assert_allclose(
            back, np.clip(image, packed.low, packed.high), atol=0.5 * step * 1.001
        )


def test_a_scan_of_nearly_one_value():
    array = np.zeros((2, 50, 50), np.int16)
    array[1, 3, 4] = 7
    packed = embed(array)
    assert (packed.low, packed.high) == (0, 7)
    assert unpacked(packed.slices[1], 50)[3, 4] == 255


def test_the_page_holds_the_findings(study):
    data = data_of(study.page.read_text("utf-8"))
    assert data["shape"] == list(study.volume.array.shape)
    lesion, entry = study.findings.lesions[0], data["findings"][0]
    ends = (*lesion.recist.long_axis, *lesion.recist.short_axis)
    assert entry["points"] == [list(end) for end in ends]
    assert entry["slice"] == lesion.recist.slice_index and entry["score"] == lesion.score
    # The place of a point in mm, as the page computes it.
    x, y = entry["points"][0]
    lps = np.array(data["origin"]) + np.array([x, y, entry["slice"]]) @ np.array(data["steps"])
    np.testing.assert_allclose(lps, lesion.recist.long_axis_lps[0], atol=1e-3)
    masks = [part["mask"] for part in entry["parts"]]
    assert all(sum(mask["runs"]) == mask["w"] * mask["h"] for mask in masks)
    voxels = sum(sum(mask["runs"][1::2]) for mask in masks)
    size = np.prod(study.volume.spacing_mm) / 1000
    assert voxels * size == pytest.approx(lesion.volume_ml, abs=1e-5)


def test_equal_input_gives_equal_bytes(study):
    assert build_page(study.findings, study.volume) == study.page.read_text("utf-8")


def test_a_scan_packed_before_gives_the_same_page(study):
    packed = embed(study.volume.array)
    page = build_page(study.findings, study.volume, packed=packed)
    assert page == study.page.read_text("utf-8")


def test_the_page_is_closed(study):
    page = study.page.read_text("utf-8")
    assert "default-src 'none'" in page
    code = "".join(path.read_text("utf-8") for path in PAGE.iterdir())
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|import)\s*\(", code)
    assert len(code) < 100_000


def test_bookmarks_are_accepted_lesions(study):
    from data_prep.bookmarks.record import BookmarkRecord

    recist = study.findings.lesions[0].recist
    points = np.array([*recist.long_axis_lps, *recist.short_axis_lps])
    record = BookmarkRecord("scan", points, "LPS", site="inguinal", file="b.csv", row=2)
    outside = BookmarkRecord("scan", points + 1e4, "LPS", file="b.csv", row=3)
    lesions, errors = lesions_of([record, outside], study.volume)
    assert len(lesions) == 1 and len(errors) == 1 and "row 3" in str(errors[0])
    entry = data_of(build_page(study.findings, study.volume, bookmarks=lesions))["findings"][-1]
    assert entry["status"] == "accepted" and entry["score"] is None and entry["site"] == "inguinal"
    np.testing.assert_allclose(entry["points"], [*recist.long_axis, *recist.short_axis], atol=1e-3)
