"""Lesions of a study from any file that holds them, in mm of the patient."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.bookmarks.locate import place
from data_prep.bookmarks.read_bookmarks import read_bookmarks
from data_prep.errors import DataError
from data_prep.json_files import load_json
from data_prep.volumes.volume import Volume
from mmglan.detections.findings import Findings
from mmglan.detections.measured_axes import measurement_of
from mmglan.review.reader_agreement import Cross
from mmglan.review.review_file import read_review


def read_marks(path: Path, volume: Volume) -> list[Cross]:
    """Read findings.json, review.json (what was accepted) or bookmarks of one scan.

    Args:
        path: The file.
        volume: The scan; bookmarks have to lie in it.

    Raises:
        DataError: The file is of no such kind, or one of its bookmarks is refused.
    """
    if path.suffix == ".json" and not path.name.endswith(".mrk.json"):
        return [Cross("", np.array(points)) for points in _of_json(path)]
    read = read_bookmarks(path)
    if read.errors:
        raise read.errors[0]
    volumes = {record.volume for record in read.records}
    if len(volumes) > 1:
        raise DataError(
            f"Expected bookmarks of one scan but got those of {len(volumes)}. Name a table of that"
            " scan alone.",
            path=path,
        )
    crosses = []
    for record in read.records:
        mark = place(record, volume)
        axes = measurement_of(mark.slice_index, mark.bookmark, volume)
        crosses.append(Cross("", np.array([*axes.long_axis_lps, *axes.short_axis_lps])))
    return crosses


def _of_json(path: Path) -> Iterator[tuple[tuple[float, ...], ...]]:
    """Yield the four end points of each lesion of findings or a review."""
    try:
        record = load_json(path)
    except DataError:
        raise
    except (OSError, ValueError):
        raise DataError(
            "Expected findings.json or review.json but got a file that cannot be read as JSON."
            " Name another.",
            path=path,
        ) from None
    if isinstance(record, dict) and "marks" in record:
        yield from (m.points_lps for m in read_review(path).marks if m.status == "accepted")
        return
    try:
        findings = Findings.from_json(record)
    except ValueError as error:
        raise DataError(str(error), path=path) from None
    for lesion in findings.lesions:
        if lesion.recist is None:
            raise DataError(
                f"Expected lesions with axes but lesion {lesion.number} has none. Accept it in a"
                " study page and name the review.",
                path=path,
            )
        yield (*lesion.recist.long_axis_lps, *lesion.recist.short_axis_lps)
