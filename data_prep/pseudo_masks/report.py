"""Tables and drawings of the quality report of pseudo masks."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from data_prep import overlay
from data_prep.bookmarks.recist import Bookmark
from data_prep.pseudo_masks.cases import Case
from data_prep.pseudo_masks.methods import pseudo_mask
from data_prep.shown_text import csv_cell, markdown_text

_TILE_PX = 176
# DSC, ASD in mm and IoU of boxes that the paper reports (Sec. 4.4) on its own MR volumes.
PUBLISHED = {
    "published: pseudo mask": ("0.858", "0.82", "0.68"),
    "published: RECIST box": ("–", "–", "0.63"),
}


def csv_bytes(rows: Sequence[dict[str, Any]]) -> bytes:
    """Encode a CSV table; floats with six digits, nothing for None and NaN."""

    def cell(value: Any) -> Any:
        if isinstance(value, float):
            return "" if math.isnan(value) else f"{value:.6g}"
        return "" if value is None else csv_cell(value)

    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue().encode()


def table_text(summary: Sequence[dict[str, Any]], level: float) -> str:
    """Write the overall table with intervals, then the means per group, as Markdown."""

    def interval(row: dict[str, Any], name: str, digits: int = 3, sign: str = "") -> str:
        if math.isnan(row[name]):
            return "–"
        text = f"{row[name]:{sign}.{digits}f}"
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        if math.isnan(low):
            return text
        return f"{text} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"

    overall = [row for row in summary if row["group"] == "all"]
    methods = [row["mask_method"] for row in overall]
    has_masks = not math.isnan(overall[0]["dsc"])
    lines = [
        f"n = {overall[0]['n']} lesions in {overall[0]['n_clusters']} clusters; "
        f"intervals at {level:.0%}, clusters resampled.",
        "",
        "| method | DSC | ASD mm | IoU of boxes "
        f"| {methods[0]} minus it | ellipse instead | empty |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in overall:
        cells = [row["mask_method"], interval(row, "dsc"), interval(row, "asd_mm", 2)]
        cells += [interval(row, "iou"), interval(row, "first_minus", 3, "+")]
        cells += [str(row["n_replaced"]), str(row["n_empty"])]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"| {name} | {' | '.join(cells)} | – | – | – |" for name, cells in PUBLISHED.items()]
    metric = "dsc" if has_masks else "iou"
    lines += ["", f"Mean {'DSC' if has_masks else 'IoU of boxes'} by group:", ""]
    lines += [f"| group | n | {' | '.join(methods)} |", "|---" * (2 + len(methods)) + "|"]
    for group in dict.fromkeys(row["group"] for row in summary):
        rows = {row["mask_method"]: row for row in summary if row["group"] == group}
        means = " | ".join(f"{rows[method][metric]:.3f}" for method in methods)
        lines.append(f"| {markdown_text(group)} | {rows[methods[0]]['n']} | {means} |")
    return "\n".join(lines) + "\n"


def tile(case: Case) -> np.ndarray:
    """Draw a lesion: ground truth yellow, the method's mask green, bookmark cyan; a square."""
    mask = pseudo_mask(case.image, case.bookmark, spacing_xy=case.spacing_mm).mask
    x1, y1, x2, y2 = case.box
    half = max(x2 - x1, y2 - y1, 8.0)
    left, top = (max(int((a + b) / 2 - half), 0) for a, b in ((x1, x2), (y1, y2)))
    view = (slice(top, top + int(2 * half)), slice(left, left + int(2 * half)))
    points = case.bookmark.points() - (left, top)
    low, high = np.percentile(case.image[view], (1, 99))
    picture = overlay.draw(
        np.clip(case.image[view].astype(np.float32), low, high),
        gt_masks=() if case.gt_mask is None else [case.gt_mask[view]],
        gt_boxes=[np.array(case.box) - (left, top, left, top)] if case.gt_mask is None else (),
        predicted_masks=[mask[view]],
        bookmarks=[Bookmark(points[:2], points[2:])],
        scale=max(1, -(-_TILE_PX // int(2 * half))),
    )
    shrink = _TILE_PX / max(picture.shape[:2])
    return cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
