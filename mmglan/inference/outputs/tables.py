"""Findings as JSON, as a table that is also a bookmark table, and as COCO results."""

from __future__ import annotations

import csv
import io

from data_prep.atomic_files import json_bytes
from data_prep.bookmarks.formats.csv_table import MM_COLUMNS
from data_prep.dataset.coco_entries import file_name
from data_prep.shown_text import csv_cell
from mmglan.detections.findings import Findings

COLUMNS = (
    *("volume", "frame", *MM_COLUMNS, "site"),
    *("lesion", "score", "probability", "long_axis_mm", "short_axis_mm", "volume_ml", "warnings"),
)


def json_of(findings: Findings) -> bytes:
    """Return `findings.json`; see `Findings`."""
    return json_bytes(findings.to_json())


def csv_of(findings: Findings) -> bytes:
    """Return one row per lesion; `data_prep.read_bookmarks` reads those that have axes."""
    stream = io.StringIO()
    table = csv.DictWriter(stream, COLUMNS, lineterminator="\n", restval="")
    table.writeheader()
    for lesion in findings.lesions:
        row = {
            "volume": findings.volume_id,
            "frame": "LPS",
            "site": csv_cell(lesion.site or ""),
            "lesion": lesion.number,
            "score": lesion.score,
            "probability": "" if lesion.probability is None else lesion.probability,
            "volume_ml": "" if lesion.volume_ml is None else lesion.volume_ml,
            "warnings": csv_cell(" ".join(findings.warnings)),
        }
        if lesion.recist is not None:
            ends = (*lesion.recist.long_axis_lps, *lesion.recist.short_axis_lps)
            row |= dict(zip(MM_COLUMNS, (v for end in ends for v in end), strict=True))
            row |= {
                "long_axis_mm": lesion.recist.long_axis_mm,
                "short_axis_mm": lesion.recist.short_axis_mm,
            }
        table.writerow(row)
    return stream.getvalue().encode("utf-8")


def coco_of(findings: Findings) -> bytes:
    """Return COCO results of all slices; `image_id` is the path of a prepared slice.

    `category_id` counts the model's classes from 1, as `mmglan prepare` does.
    """
    told = {"warnings": list(findings.warnings)} if findings.warnings else {}
    return json_bytes(
        [
            {
                "image_id": file_name(findings.volume_id, part.slice_index),
                "category_id": 1 + findings.classes.index(lesion.category),
                "category": lesion.category,
                "bbox": list(part.box),
                "score": part.score,
                **({} if part.segmentation is None else {"segmentation": part.segmentation}),
                **told,
            }
            for lesion in findings.lesions
            for part in lesion.slices
        ]
    )
