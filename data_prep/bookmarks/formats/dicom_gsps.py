"""DICOM presentation states (GSPS): two crossing lines on one image make a bookmark.

Archives keep bookmarks in this form. Graphics in pixels of an image count from the corner of the
first pixel (DICOM PS3.3 C.10.5); those that stand on the screen (units DISPLAY, MATRIX) have no
place in the volume and are errors with their reason. Text beside the graphics is not read: it may
hold names.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from data_prep.bookmarks.crossing_lines import pair_lines
from data_prep.bookmarks.formats.dicom_objects import STORAGE, checked, read_all, volume_named
from data_prep.bookmarks.formats.sr_groups import referenced_images
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.errors import DataError, quoted
from data_prep.volumes.dicom.patient_key import key_of_header

OPTIONS = frozenset({"volume", "patient"})
CLASSES = (f"{STORAGE}11.1",)
MAX_LINES = 1000
# Graphic types: the shape, its fewest points, and how messages call it.
_GRAPHICS = {
    "POINT": ("points", 1, "point"),
    "CIRCLE": ("circle", 2, "circle"),
    "ELLIPSE": ("ellipse", 4, "ellipse"),
    "POLYLINE": ("outline", 3, "outline"),
    "INTERPOLATED": ("outline", 3, "outline"),
}


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Read presentation states; `row` of a record is the 1-based number of its graphic."""
    return read_all(path, name, "presentation states", lambda f, label: _one(f, label, options))


def _one(path: Path, name: str, options: Options) -> ReadResult:
    data = checked(path, name, CLASSES, "a presentation state")
    referenced = data.get("ReferencedSeriesSequence", None) or ()
    series = {str(one.SeriesInstanceUID) for one in referenced}
    volume = volume_named(options, series)
    result = ReadResult()
    by_image: dict[tuple, list[BookmarkRecord]] = defaultdict(list)
    for row, (graphic, images) in enumerate(_graphics(data, referenced), start=1):
        try:
            shape, drawn, points = _shape(graphic)
            for uid, frame in images or [(None, None)]:
                if uid is None:
                    raise DataError("Expected the image of a graphic but got none. Export again.")
                record = BookmarkRecord(
                    volume,
                    points - 0.5,
                    patient=options.patient,
                    file=name,
                    row=row,
                    instance_uid=uid,
                    frame_number=frame,
                    shape=shape,
                    drawn=drawn,
                    patient_key=key_of_header(data),
                )
                by_image[uid, frame].append(record)
        except DataError as error:
            result.refuse(DataError(error.message, path=name, row=row), volume)
    for records in by_image.values():
        result.records += _paired(records, name)
    if result.errors:
        total = len(result.errors) + len(result.records)
        result.notes.append(
            f"{name}: {len(result.errors)} of {total} graphics cannot be used, see the errors."
        )
    return result


def _graphics(data: Dataset, referenced) -> list[tuple[Dataset, list[tuple[str, int | None]]]]:
    """Return every graphic object with the images that it stands on."""
    everywhere = [
        entry
        for one in referenced
        for entry in referenced_images(one.get("ReferencedImageSequence", ()))
    ]
    found = []
    for annotation in data.get("GraphicAnnotationSequence", None) or ():
        own = referenced_images(annotation.get("ReferencedImageSequence", None) or ())
        # Without images of its own, a graphic stands on all images of the state.
        images = own or (everywhere if len(everywhere) == 1 else [])
        found += [(g, images) for g in annotation.get("GraphicObjectSequence", None) or ()]
        found += [(g, images) for g in annotation.get("CompoundGraphicSequence", None) or ()]
    return found


def _shape(graphic: Dataset) -> tuple[str, str, np.ndarray]:
    """Return the shape of a graphic, how messages call it, and its points `(N, 2)`."""
    units = str(graphic.get("GraphicAnnotationUnits", ""))
    if units != "PIXEL":
        raise DataError(
            f"Expected a graphic in pixels of the image but got the units {quoted(units)}. Draw it"
            " on the image."
        )
    kind = str(graphic.get("GraphicType", ""))
    points = np.array(graphic.get("GraphicData", ()), dtype=float)
    if points.size % 2 or not points.size or not np.isfinite(points).all():
        raise DataError("Expected points of 2 finite numbers but got others. Draw it again.")
    points = points.reshape(-1, 2)
    if kind == "POLYLINE" and len(points) == 2:
        return "line", "single line", points
    shape, fewest, drawn = _GRAPHICS.get(kind, ("", 0, ""))
    exact = shape in ("circle", "ellipse")
    if not shape or len(points) < fewest or (exact and len(points) > fewest):
        raise DataError(
            f"Expected two crossing lines but got {drawn or 'another graphic'} of {len(points)}"
            " points. Draw both axes."
        )
    return shape, drawn, points


def _paired(records: list[BookmarkRecord], name: str) -> list[BookmarkRecord]:
    """Return the graphics of one image, lines that cross as bookmarks."""
    lines = [record for record in records if record.shape == "line"]
    if len(lines) > MAX_LINES:
        raise DataError(
            f"Expected at most {MAX_LINES} lines on an image but got {len(lines)}. Split the file.",
            path=name,
        )
    flat = [np.column_stack([line.points, np.zeros(2)]) for line in lines]
    pairs, unpaired = pair_lines(flat)
    found = [
        replace(
            lines[long],
            points=np.concatenate([lines[long].points, lines[short].points]),
            shape="cross",
            drawn="",
        )
        for long, short in pairs
    ]
    rest = [record for record in records if record.shape != "line"]
    return found + [lines[i] for i in unpaired] + rest
