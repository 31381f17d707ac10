"""DICOM structured reports (TID 1500): measurement groups with a long and a short axis.

Each axis is a NUM item, long axis or short axis, inferred from a polyline of two points: SCOORD in
the pixels of one image, or SCOORD3D in mm. In SCOORD the corner of the first pixel is (0, 0) and
its centre (0.5, 0.5) (DICOM PS3.3 C.18.6); records count from pixel centres.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import Code, codes

from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.errors import DataError
from data_prep.paths import check_relative
from data_prep.volumes.dicom_files import is_dicom, read_header
from data_prep.volumes.stored import only_data_errors

OPTIONS = frozenset({"volume", "patient"})
_SR_CLASSES = "1.2.840.10008.5.1.4.1.1.88."


def matches(path: Path, start: bytes) -> bool:
    """Say whether a file is DICOM, or a folder holds DICOM files."""
    return start[128:132] == b"DICM" or (path.is_dir() and any(path.glob("*.dcm")))


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Read one report or a folder of them; `row` is the 1-based measurement group."""
    folder = path.is_dir()
    files = [path]
    if folder:
        files = [f for f in sorted(path.iterdir()) if f.is_file() and is_dicom(f)]
    result = ReadResult()
    for file in files:
        label = f"{name}/{file.name}" if folder else name
        try:
            with only_data_errors(label):
                result.add(_report(file, label, options))
        except DataError as error:
            if not folder:
                raise
            result.refuse(error)
    if not result.records and not result.errors:
        raise DataError(
            "Expected measurements of a long and a short axis but got none. Export them as TID "
            "1500.",
            path=name,
        )
    return result


def _report(path: Path, name: str, options: Options) -> ReadResult:
    if not is_dicom(path):
        raise DataError("Expected a DICOM file but got another. Export the report.", path=name)
    report = read_header(path, name)
    if not str(report.get("SOPClassUID", "")).startswith(_SR_CLASSES):
        raise DataError(
            "Expected a structured report but got another DICOM object. Name the report.",
            path=name,
        )
    series = _series_of(report)
    patient = options.patient or _pseudonym(report)
    groups = [i for i in _items(report) if _is(i, "CONTAINER", codes.DCM.MeasurementGroup)]
    result = ReadResult()
    for row, group in enumerate(groups, start=1):
        axes = [
            [i for i in group.get("ContentSequence", ()) if _is(i, "NUM", code)]
            for code in (codes.SCT.LongAxis, codes.SCT.ShortAxis)
        ]
        if not any(axes):
            continue  # another kind of measurement
        try:
            if [len(items) for items in axes] != [1, 1]:
                raise DataError(
                    f"Expected one long and one short axis but got {len(axes[0])} and "
                    f"{len(axes[1])}. Measure both."
                )
            record = _record([items[0] for items in axes], name, row, patient, options, series)
            result.records.append(record)
        except DataError as error:
            volume = _any_volume(options, set(series.values()))
            result.refuse(DataError(error.message, path=name, row=row), volume)
    return result


def _record(
    axes: list[Dataset],
    name: str,
    row: int,
    patient: str | None,
    options: Options,
    series: dict[str, str],
) -> BookmarkRecord:
    points, images = [], set()
    for axis in axes:
        ends, image = _polyline(axis)
        points.append(ends)
        images.add(image)
    if len(images) != 1:
        raise DataError("Expected both axes on one image but got two. Measure them on one slice.")
    uid, frame_number = images.pop()
    in_mm = points[0].shape[1] == 3
    referenced = {series[uid]} if uid in series else set(series.values())
    return BookmarkRecord(
        _volume(options, referenced),
        np.concatenate(points) - (0.0 if in_mm else 0.5),
        "LPS" if in_mm else "pixel",
        patient=patient,
        file=name,
        row=row,
        instance_uid=uid,
        frame_number=frame_number,
    )


def _polyline(axis: Dataset) -> tuple[np.ndarray, tuple[str | None, int | None]]:
    """Return the end points of an axis, `(2, 2)` pixels or `(2, 3)` mm, and its image."""
    # Imported here: it takes a second, and only reports need it.
    from highdicom.sr import Scoord3DContentItem, ScoordContentItem

    items = [i for i in axis.get("ContentSequence", ()) if "GraphicData" in i]
    if len(items) != 1:
        raise DataError(
            f"Expected each axis with its line (SCOORD or SCOORD3D) but got {len(items)} lines. "
            "Export the report with coordinates."
        )
    item = items[0]
    kind = Scoord3DContentItem if item.ValueType == "SCOORD3D" else ScoordContentItem
    line = kind.from_dataset(item)
    ends = np.array(line.value, dtype=float)
    if line.graphic_type.value != "POLYLINE" or len(ends) != 2 or not np.isfinite(ends).all():
        raise DataError("Expected a line of 2 points but got another shape. Measure it again.")
    if kind is Scoord3DContentItem:
        return ends, (None, None)
    for image in item.get("ContentSequence", ()):
        for reference in image.get("ReferencedSOPSequence", ()):
            frame = reference.get("ReferencedFrameNumber", None)
            first = frame if frame is None or isinstance(frame, int) else int(frame[0])
            return ends, (str(reference.ReferencedSOPInstanceUID), first)
    raise DataError("Expected the image of each line but got none. Export the report again.")


def _items(node: Dataset) -> Iterator[Dataset]:
    """Walk all content items below a node."""
    for item in node.get("ContentSequence", ()):
        yield item
        yield from _items(item)


def _is(item: Dataset, kind: str, code: Code) -> bool:
    """Say whether an item is of a value type and name; SRT codes count as their SCT ones."""
    names = item.get("ConceptNameCodeSequence", None) or ()
    return str(item.get("ValueType", "")) == kind and any(
        Code(str(n.get("CodeValue", "")), str(n.get("CodingSchemeDesignator", "")), "") == code
        for n in names
    )


def _series_of(report: Dataset) -> dict[str, str]:
    """Return the series UID of each instance that the report refers to."""
    series = {}
    for keyword in (
        "CurrentRequestedProcedureEvidenceSequence",
        "PertinentOtherEvidenceSequence",
    ):
        for study in report.get(keyword, None) or ():
            for one in study.get("ReferencedSeriesSequence", None) or ():
                for instance in one.get("ReferencedSOPSequence", None) or ():
                    series[str(instance.ReferencedSOPInstanceUID)] = str(one.SeriesInstanceUID)
    return series


def _pseudonym(report: Dataset) -> str | None:
    """Return a name that is the same for all reports on a patient but is not the patient's."""
    stated = [str(report.get(k, "") or "") for k in ("PatientID", "IssuerOfPatientID")]
    if not stated[0]:
        return None
    return "sr-" + hashlib.sha256("\n".join(stated).encode()).hexdigest()[:12]


def _volume(options: Options, referenced: set[str]) -> str:
    if options.volume is not None:
        return check_relative(options.volume)
    if len(referenced) != 1:
        raise DataError(
            f"Expected a report on one series but got {len(referenced)}. Name the volume "
            "with --bookmark-volume."
        )
    uid = next(iter(referenced))
    if options.images is None:
        return f".#{uid}"
    volume = options.images.by_series(uid)
    if volume is None:
        raise DataError(
            f"Expected the series {uid} in the image folder but found it nowhere. Copy it there."
        )
    return volume


def _any_volume(options: Options, referenced: set[str]) -> str | None:
    """Return the volume of a report, if it can be told."""
    try:
        return _volume(options, referenced)
    except DataError:
        return None
