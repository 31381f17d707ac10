"""3D Slicer markups (`.mrk.json`): pairs of lines, in a file or in a folder of files.

Each line markup has two control points in mm. The lines of one volume that cross make a bookmark
(`crossing_lines`); the longer one is the long axis. A file names no volume: it belongs
to the volume that it is named after (`case7.mrk.json`, `case7_node2.mrk.json`), unless the
option `volume` names one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.bookmarks.crossing_lines import pair_lines
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.csv_rows import read_bytes
from data_prep.errors import DataError, quoted

OPTIONS = frozenset({"volume", "patient"})
# Every line is compared with every other.
MAX_LINES = 1000
_FRAMES = {"LPS": "LPS", "RAS": "RAS", "1": "LPS", "0": "RAS"}


@dataclass(frozen=True, eq=False)
class _Line:
    points_lps: np.ndarray
    file: str
    row: int


def matches(path: Path, start: bytes) -> bool:
    """Say whether a file or folder holds Slicer markups."""
    if path.is_dir():
        return any(path.glob("*.mrk.json"))
    return path.name.lower().endswith(".json") or start.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"{"


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Read markups; `row` of a record is the 1-based number of its long line in its file."""
    folder = path.is_dir()
    files = sorted(path.glob("*.mrk.json")) if folder else [path]
    by_volume: dict[str, list[_Line]] = defaultdict(list)
    result = ReadResult()
    for file in files:
        label = f"{name}/{file.name}" if folder else name
        volume = None
        try:
            volume = options.volume_called(_stem(file.name), label)
            lines, errors = _lines(file, label)
            by_volume[volume] += lines
            for error in errors:
                result.refuse(error, volume)
        except DataError as error:
            if not folder:
                raise
            result.refuse(error, volume)
    for volume, lines in by_volume.items():
        pairs, unpaired = pair_lines([line.points_lps for line in lines])
        for long, short in pairs:
            points = np.concatenate([lines[long].points_lps, lines[short].points_lps])
            result.records.append(
                BookmarkRecord(
                    volume,
                    points,
                    "LPS",
                    patient=options.patient,
                    file=lines[long].file,
                    row=lines[long].row,
                )
            )
        for i in unpaired:
            error = DataError(
                "Expected one line that crosses this one but got none or several. Draw the other "
                "axis, or give each lesion its own lines.",
                path=lines[i].file,
                row=lines[i].row,
            )
            result.refuse(error, volume)
    if not result.records and not result.errors:
        raise DataError("Expected line markups but got none. Draw two lines.", path=name)
    return result


def _stem(name: str) -> str:
    for suffix in (".mrk.json", ".json"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _lines(path: Path, name: str) -> tuple[list[_Line], list[DataError]]:
    try:
        document = json.loads(read_bytes(path, name))
    except (ValueError, RecursionError):
        raise DataError(
            "Expected JSON but got broken text. Save the markups again.", path=name
        ) from None
    markups = document.get("markups") if isinstance(document, dict) else None
    if not isinstance(markups, list):
        raise DataError(
            "Expected the list 'markups' in the file but got none. Save the markups from Slicer.",
            path=name,
        )
    if len(markups) > MAX_LINES:
        raise DataError(
            f"Expected at most {MAX_LINES} lines but got {len(markups)}. Split the file.", path=name
        )
    lines, errors = [], []
    for row, markup in enumerate(markups, start=1):
        try:
            if not isinstance(markup, dict):
                raise DataError("Expected a markup but got another value. Save it again.")
            if markup.get("type") != "Line":
                raise DataError(
                    f"Expected a line markup but got {quoted(markup.get('type'))}. Draw lines."
                )
            lines.append(_Line(_points(markup), name, row))
        except DataError as error:
            errors.append(DataError(error.message, path=name, row=row))
    return lines, errors


def _points(markup: dict[str, Any]) -> np.ndarray:
    frame = _FRAMES.get(str(markup.get("coordinateSystem")).upper())
    if frame is None:
        raise DataError(
            "Expected the coordinateSystem LPS or RAS but got "
            f"{quoted(markup.get('coordinateSystem'))}. Save the markups again."
        )
    units = markup.get("coordinateUnits", "mm")
    if units != "mm":
        raise DataError(f"Expected coordinates in mm but got {quoted(units)}. Convert them.")
    controls = markup.get("controlPoints")
    controls = controls if isinstance(controls, list) else []
    positions = [
        c.get("position")
        for c in controls
        if isinstance(c, dict) and c.get("positionStatus", "defined") == "defined"
    ]
    if len(positions) != 2:
        raise DataError(
            f"Expected 2 control points per line but got {len(positions)}. Draw the line again."
        )
    if not all(_is_point(p) for p in positions):
        raise DataError("Expected positions of 3 numbers but got others. Draw the line again.")
    points = np.array(positions, dtype=float)
    return points if frame == "LPS" else points * [-1.0, -1.0, 1.0]


def _is_point(position: Any) -> bool:
    return (
        isinstance(position, list)
        and len(position) == 3
        and all(isinstance(v, (int, float)) and abs(v) < 1e6 for v in position)
    )
