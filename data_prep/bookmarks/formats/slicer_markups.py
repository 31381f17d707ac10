"""3D Slicer markups (`.mrk.json`): pairs of lines, in a file or in a folder of files.

Each line markup has two control points in mm. The lines of one volume that cross make a bookmark
(`crossing_lines`); the longer one is the long axis. Single lines and markups of other types are
measurements without two axes (`one_axis`). A file names no volume: it belongs to the volume that
it is named after (`case7.mrk.json`, `case7_node2.mrk.json`), unless the option `volume` names one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.bookmarks.crossing_lines import pair_lines
from data_prep.bookmarks.formats.dicom_objects import files_below
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.csv_rows import read_bytes
from data_prep.errors import DataError, quoted
from data_prep.json_files import parse_json

OPTIONS = frozenset({"volume", "patient"})
# Every line is compared with every other.
MAX_LINES = 1000
# Older formats of markups, and JSON under another name.
_OLDER = (".fcsv", ".acsv", ".json")
_FRAMES = {"LPS": "LPS", "RAS": "RAS", "1": "LPS", "0": "RAS"}


# What each type of markup draws, the fewest points of it, and how messages call it.
_TYPES = {
    "Line": ("line", 2, "single line"),
    "Fiducial": ("points", 1, "point"),
    "Angle": ("outline", 3, "angle"),
    "Curve": ("outline", 3, "curve"),
    "ClosedCurve": ("outline", 3, "closed curve"),
    "ROI": ("solid", 1, "region of interest"),
    "Plane": ("outline", 1, "plane"),
}


@dataclass(frozen=True, eq=False)
class _Markup:
    shape: str
    drawn: str
    points_lps: np.ndarray
    file: str
    row: int

    def record(self, volume: str, patient: str | None) -> BookmarkRecord:
        """Return it as a measurement without two axes."""
        return BookmarkRecord(
            volume,
            self.points_lps,
            "LPS",
            patient=patient,
            file=self.file,
            row=self.row,
            shape=self.shape,
            drawn=self.drawn,
        )


def matches(path: Path, start: bytes) -> bool:
    """Say whether a file or folder holds Slicer markups."""
    if path.is_dir():
        return any(path.rglob("*.mrk.json"))
    return path.name.lower().endswith(_OLDER) or start.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"{"


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Read markups; `row` of a record is the 1-based number of its long line in its file."""
    folder = path.is_dir()
    if path.name.lower().endswith((".fcsv", ".acsv")):
        raise DataError(
            "Expected line markups (.mrk.json) but got points of an older Slicer. Load it in"
            " Slicer, draw two lines per lesion, and save them as .mrk.json.",
            path=name,
        )
    files = list(files_below(path)) if folder else [path]
    by_volume: dict[str, list[_Markup]] = defaultdict(list)
    result, others = ReadResult(), 0
    for file in files:
        label = f"{name}/{file.relative_to(path).as_posix()}" if folder else name
        if folder and not file.name.lower().endswith(".mrk.json"):
            if not file.name.lower().endswith(_OLDER):
                others += 1
                continue
            error = DataError(
                "Expected markups as .mrk.json but got a file of another ending, which may hold"
                " lesions. Save it as .mrk.json in Slicer, or move it elsewhere.",
                path=label,
            )
            result.refuse(error)
            continue
        volume = None
        try:
            volume = options.volume_called(_stem(file.name), label)
            markups, errors = _markups(file, label)
            by_volume[volume] += markups
            for error in errors:
                result.refuse(error, volume)
        except DataError as error:
            if not folder:
                raise
            result.refuse(error, volume)
    if others:
        result.notes.append(f"{name}: {others} files that are no markups are not read.")
    for volume, markups in by_volume.items():
        lines = [markup for markup in markups if markup.shape == "line"]
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
        others = [markup for markup in markups if markup.shape != "line"]
        others += [lines[i] for i in unpaired]
        result.records += [markup.record(volume, options.patient) for markup in others]
    if not result.records and not result.errors:
        raise DataError("Expected line markups but got none. Draw two lines.", path=name)
    return result


def _stem(name: str) -> str:
    for suffix in (".mrk.json", ".json"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _markups(path: Path, name: str) -> tuple[list[_Markup], list[DataError]]:
    try:
        document = parse_json(read_bytes(path, name), name)
    except DataError:
        raise
    except ValueError:
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
    found, errors = [], []
    for row, markup in enumerate(markups, start=1):
        try:
            if not isinstance(markup, dict):
                raise DataError("Expected a markup but got another value. Save it again.")
            if not isinstance(kind := markup.get("type"), str) or kind not in _TYPES:
                raise DataError(
                    f"Expected a line markup but got {quoted(kind)}. Draw two lines that cross."
                )
            found.append(_markup(markup, name, row))
        except DataError as error:
            errors.append(DataError(error.message, path=name, row=row))
    return found, errors


def _markup(markup: dict[str, Any], name: str, row: int) -> _Markup:
    frame = _frame(markup.get("coordinateSystem"))
    units = _code(markup.get("coordinateUnits", "mm"))
    if units != "mm":
        raise DataError(f"Expected coordinates in mm but got {quoted(units)}. Convert them.")
    controls = markup.get("controlPoints")
    controls = controls if isinstance(controls, list) else []
    positions = [
        c.get("position")
        for c in controls
        if isinstance(c, dict) and c.get("positionStatus", "defined") == "defined"
    ]
    shape, fewest, drawn = _TYPES[markup["type"]]
    if len(positions) < fewest or (shape == "line" and len(positions) > 2):
        wanted = f"{'' if shape == 'line' else 'at least '}{fewest} control points"
        raise DataError(
            f"Expected {wanted} per {drawn} but got {len(positions)}. Draw the line again."
        )
    if not all(_is_point(p) for p in positions):
        raise DataError("Expected positions of 3 numbers but got others. Draw the line again.")
    points = np.array(positions, dtype=float)
    if markup["type"] in ("ROI", "Plane"):
        points = _corners(markup, points)
    return _Markup(shape, drawn, points * [*2 * [-1.0 if frame == "RAS" else 1.0], 1.0], name, row)


def _frame(system: Any) -> str:
    """Return LPS or RAS; a file that states none is in LPS, as Slicer's format says."""
    frame = "LPS" if system is None else _FRAMES.get(_code(system).upper())
    if frame is None:
        raise DataError(
            f"Expected the coordinateSystem LPS or RAS but got {quoted(system)}. Save the markups"
            " again."
        )
    return frame


def _code(value: Any) -> str:
    """Return the code of a value such as `["mm", "UCUM", "millimeter"]`, or the value itself."""
    if isinstance(value, dict):
        value = value.get("CodeValue", value.get("codeValue"))
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def _corners(markup: dict[str, Any], positions: np.ndarray) -> np.ndarray:
    """Return the corners of a region of interest (a box) or of a plane, in the file's frame."""
    solid = markup["type"] == "ROI"
    size, axes = markup.get("size"), markup.get("orientation", [1, 0, 0, 0, 1, 0, 0, 0, 1])
    centre = markup.get("center")
    centre = positions.mean(axis=0) if centre is None else centre
    numbers = [centre, size if solid else size[:2] if isinstance(size, list) else None, axes]
    lengths = [3, 3 if solid else 2, 9]
    if not all(_are_numbers(n, k) for n, k in zip(numbers, lengths, strict=True)):
        raise DataError("Expected centre, size and orientation but got others. Draw it again.")
    arms = np.reshape(np.array(axes, float), (3, 3))[:, : lengths[1]] * np.array(numbers[1]) / 2
    signs = [[x, y, z] for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    signs = np.array(signs if solid else [row[:2] for row in signs[:4]], float)
    return np.asarray(centre, float) + signs @ arms.T


def _is_point(position: Any) -> bool:
    return isinstance(position, list) and _are_numbers(position, 3)


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, (list, np.ndarray))
        and len(values) == count
        and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e6 for v in values
        )
    )
