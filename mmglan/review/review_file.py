"""`review.json` of the study page: what a reader decided on a scan, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.bookmarks.recist import Bookmark
from data_prep.errors import DataError
from data_prep.json_files import load_json
from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Findings, Lesion, ScanGeometry
from mmglan.detections.measured_axes import measurement_of, rounded
from mmglan.version import __version__

SCHEMA = 1
STATUSES = ("open", "accepted", "rejected", "unsure")


@dataclass(frozen=True)
class ReviewedMark:
    """A finding or a drawn cross as a reader left it.

    Attributes:
        status: One of `STATUSES`.
        score: Of the finding; None for what the reader drew.
        slice_index: Axial slice.
        points: End points (x, y) of the long, then of the short axis in axial pixels.
        points_lps: The same in mm (LPS).
        site: Node site.
    """

    status: str
    score: float | None
    slice_index: int
    points: tuple[tuple[float, float], ...]
    points_lps: tuple[tuple[float, float, float], ...]
    site: str = ""


@dataclass(frozen=True)
class Review:
    """What a reader decided on a scan.

    Attributes:
        volume_id: Pseudonym of the scan.
        marks: All findings and drawn crosses.
        reader: As typed in, or empty.
    """

    volume_id: str
    marks: tuple[ReviewedMark, ...]
    reader: str = ""


def read_review(path: Path) -> Review:
    """Read a file that the study page exported.

    Raises:
        DataError: It is another file, or damaged.
    """
    try:
        record = load_json(path)
        if not isinstance(record, Mapping) or record.get("schema") != SCHEMA:
            raise ValueError("another schema")
        marks = tuple(map(_mark, record["marks"]))
        return Review(str(record["volume_id"]), marks, str(record.get("reader", "")))
    except DataError:
        raise
    except OSError:
        raise DataError(
            "Expected a readable review but the system refuses it. Correct the path.", path=path
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"Expected a review.json of schema {SCHEMA} but got another file ({error!r}). Export"
            " it again from the study page.",
            path=path,
        ) from None


def _mark(entry: Mapping[str, Any]) -> ReviewedMark:
    if entry["status"] not in STATUSES:
        raise ValueError("an unknown status")
    points = np.array(entry["points"], float).reshape(4, 2)
    lps = np.array(entry["points_lps"], float).reshape(4, 3)
    if not (np.isfinite(points).all() and np.isfinite(lps).all()):
        raise ValueError("points that are no numbers")
    return ReviewedMark(
        status=entry["status"],
        score=None if entry["score"] is None else float(entry["score"]),
        slice_index=int(entry["slice_index"]),
        points=tuple(map(tuple, points.tolist())),
        points_lps=tuple(map(tuple, lps.tolist())),
        site=str(entry.get("site", "")),
    )


def accepted_findings(review: Review, volume: Volume) -> Findings:
    """Return the accepted lesions as findings of the scan, without masks and scores.

    Raises:
        DataError: The review is of another scan: its points in mm lie elsewhere.
    """
    lesions = []
    for mark in review.marks:
        if mark.status == "accepted":
            lesions.append(_lesion(len(lesions) + 1, mark, volume))
    model = {"name": "mmglan review", "version": __version__}
    return Findings(review.volume_id, ScanGeometry.of(volume), tuple(lesions), model=model)


def _lesion(number: int, mark: ReviewedMark, volume: Volume) -> Lesion:
    z, points = mark.slice_index, np.array(mark.points)
    lps = volume.to_patient_mm(np.column_stack([points, np.full(4, float(z))]))
    depth, rows, columns = volume.array.shape
    inside = 0 <= z < depth and (points >= -0.5).all() and (points < [columns, rows]).all()
    if not inside or np.abs(lps - np.array(mark.points_lps)).max() > 0.1:
        raise DataError(
            "Expected a review of this scan but got points in mm that lie elsewhere. Name the scan"
            " that the page shows.",
            slice_index=z,
        )
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    return Lesion(
        number=number,
        score=1.0,
        probability=None,
        box3d=(int(low[0]), int(low[1]), z, int(high[0]), int(high[1]), z),
        centre_lps=rounded(lps.mean(axis=0)),
        volume_ml=None,
        recist=measurement_of(z, Bookmark(points[:2], points[2:]), volume),
        slices=(),
        site=mark.site or None,
    )
