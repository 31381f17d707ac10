"""The study page: one HTML file with a whole scan, its findings and the tools to correct them.

The page needs no network and sends nothing; its content security policy forbids both. What a reader
changes stays in the browser until it is exported as a table, markups or `review.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from pycocotools import mask as coco_mask

from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Findings, Lesion
from mmglan.review.embedded_volume import EmbeddedVolume, embed

PAGE = Path(__file__).parent / "page"
# In the order in which they are read; each uses what stands before it.
SCRIPTS = (
    *("voxels.js", "geometry.js", "marks.js", "views.js", "overlays.js", "lesion_list.js"),
    *("tools.js", "pointing.js", "exports.js", "controls.js"),
)


def build_page(
    findings: Findings,
    volume: Volume,
    *,
    bookmarks: Sequence[Lesion] = (),
    packed: EmbeddedVolume | None = None,
) -> str:
    """Build the page of a scan.

    Args:
        findings: What was found in it.
        volume: The scan.
        bookmarks: Lesions that a reader has marked before; the page shows them as accepted.
        packed: The scan as `embed` packs it, where that was done before.

    Returns:
        HTML. It names the scan by the findings' pseudonym only.
    """
    packed = packed or embed(volume.array)
    origin, *ends = volume.to_patient_mm(np.vstack([np.zeros(3), np.eye(3)])).tolist()
    data = {
        "volume": findings.volume_id,
        "shape": [int(n) for n in volume.array.shape],
        "spacing": [float(v) for v in volume.spacing_mm],
        "origin": origin,
        "steps": [np.subtract(end, origin).tolist() for end in ends],
        "range": [packed.low, packed.high],
        "window": list(packed.window),
        "model": dict(findings.model),
        "warnings": list(findings.warnings),
        "findings": [
            *(_entry(lesion, "open") for lesion in findings.lesions),
            *(_entry(lesion, "accepted") | {"score": None} for lesion in bookmarks),
        ],
    }
    text = script_json(data)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return render(
        "study.html",
        volume=findings.volume_id,
        warnings=findings.warnings,
        slices=packed.slices,
        # The text is long, so it is made once.
        data=f'{{"key":"{key}",{text[1:]}',
        js="\n".join(map(_text, SCRIPTS)),
    )


@dataclass(frozen=True)
class IndexEntry:
    """A page in the list of pages: name of the scan, number of slices, findings and bookmarks."""

    name: str
    slices: int
    findings: int
    bookmarks: int


def build_index(entries: Sequence[IndexEntry]) -> str:
    """Build the list of the pages that lie beside it, as HTML."""
    return render("index.html", entries=entries)


def render(name: str, **values: Any) -> str:
    """Fill a template of the room; its style is that of all pages."""
    return _templates().get_template(name).render(css=_text("study.css"), **values)


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(PAGE)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


def _text(name: str) -> str:
    return (PAGE / name).read_text("utf-8")


def script_json(value: Any) -> str:
    """Encode JSON that can stand in a `<script>` element whatever text is in it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")


def _entry(lesion: Lesion, status: str) -> dict[str, Any]:
    """Return what the page needs of a lesion."""
    recist = lesion.recist
    if recist is not None:
        z, points = recist.slice_index, [*recist.long_axis, *recist.short_axis]
    else:
        part = max(lesion.slices, key=lambda one: one.box[2] * one.box[3])
        z, points = part.slice_index, _middle_lines(part.box)
    return {
        "number": lesion.number,
        "score": lesion.score if lesion.probability is None else lesion.probability,
        "volume_ml": lesion.volume_ml,
        "site": lesion.site or "",
        "status": status,
        "measured": recist is not None,
        "slice": z,
        "points": [list(point) for point in points],
        "parts": [
            {"z": part.slice_index, "box": list(part.box), "mask": _runs(part.segmentation)}
            for part in lesion.slices
        ],
    }


def _middle_lines(box: Sequence[float]) -> list[tuple[float, float]]:
    """Return the middle lines of a COCO box through pixel centres, the longer one first."""
    x, y, width, height = box
    x1, y1, x2, y2 = x, y, x + width - 1, y + height - 1
    x0, y0 = (x1 + x2) / 2, (y1 + y2) / 2
    lines = [[(x1, y0), (x2, y0)], [(x0, y1), (x0, y2)]]
    if height > width:
        lines.reverse()
    return [*lines[0], *lines[1]]


def _runs(segmentation: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a mask as its box and the lengths of its runs in it, row by row, first of zeros."""
    if segmentation is None:
        return None
    x, y, width, height = coco_mask.toBbox(segmentation).astype(int).tolist()
    if not width:
        return None
    inside = coco_mask.decode(segmentation)[y : y + height, x : x + width].astype(bool)
    flat = np.concatenate([[False], inside.ravel(), [False]])
    runs = np.diff([0, *np.flatnonzero(flat[1:] != flat[:-1]), inside.size])
    return {
        "x": x,
        "y": y,
        "w": width,
        "h": height,
        "runs": runs.tolist(),
    }
