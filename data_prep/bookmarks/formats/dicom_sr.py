"""DICOM structured reports (TID 1500), one or a folder of them, also nested and without endings.

`sr_groups` reads a measurement group. One with a long and a short axis is a bookmark; anything else
that is drawn or measured is named, since it may be a lesion (`one_axis`).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from data_prep.bookmarks.formats.dicom_objects import STORAGE, files_below, volume_named
from data_prep.bookmarks.formats.object_versions import read_each
from data_prep.bookmarks.formats.sr_groups import Drawing, drawings, is_item, items_below
from data_prep.bookmarks.record import BookmarkRecord, Options, ReadResult
from data_prep.errors import DataError
from data_prep.volumes.dicom.folder import lies_beside
from data_prep.volumes.dicom.header import read_header
from data_prep.volumes.dicom.kinds import is_dicom
from data_prep.volumes.dicom.patient_key import key_of_header
from data_prep.volumes.stored import only_data_errors

OPTIONS = frozenset({"volume", "patient"})
CLASSES = (f"{STORAGE}88.",)
_KEY_OBJECTS = f"{STORAGE}88.59"
# Reports of procedures: logs, doses, agents. No lesion is measured in them.
_NO_FINDINGS = tuple(f"{STORAGE}88.{n}" for n in (40, 67, 68, 73, 74, 75, 76))


def matches(path: Path, start: bytes) -> bool:
    """Say whether a file is DICOM: one that is no report is refused with what it is."""
    return start[128:132] == b"DICM"


def read(path: Path, name: str, options: Options) -> ReadResult:
    """Read one report or a folder of them; `row` is the 1-based measurement group."""
    if not path.is_dir():
        with only_data_errors(name):
            result = _report(path, name, options)
    else:
        result = _folder(path, name, options)
    if not result.records and not result.errors:
        raise DataError(
            "Expected measurements of a long and a short axis but got none. Export them as TID "
            "1500.",
            path=name,
        )
    return result


def _folder(path: Path, name: str, options: Options) -> ReadResult:
    reports, images, doses = [], 0, 0
    for file in files_below(path):
        label = f"{name}/{file.relative_to(path).as_posix()}"
        with suppress(DataError), only_data_errors(label):  # whoever reads the report says so
            header = read_header(file, label) if is_dicom(file) else {}
            if "Rows" in header:
                images += 1
                continue
            if header.get("SOPClassUID", "") in _NO_FINDINGS:
                doses += 1
                continue
            if lies_beside(file.name) and not is_dicom(file):
                continue
        reports.append((file, label))
    result = read_each(reports, lambda file, label: _report(file, label, options))
    if images:
        result.notes.append(f"{name}: {images} images beside the reports are not read.")
    if doses:
        result.notes.append(f"{name}: {doses} reports of doses and the like are not read.")
    return result


def _report(path: Path, name: str, options: Options) -> ReadResult:
    if not is_dicom(path):
        raise DataError("Expected a DICOM file but got another. Export the report.", path=name)
    report = read_header(path, name)
    if not str(report.get("SOPClassUID", "")).startswith(CLASSES):
        raise DataError(
            "Expected a structured report but got another DICOM object. Name the report.",
            path=name,
        )
    series = _series_of(report)
    patient = options.patient, key_of_header(report)
    groups = [i for i in items_below(report) if is_item(i, "CONTAINER", codes.DCM.MeasurementGroup)]
    result = ReadResult()
    for row, group in enumerate(groups, start=1):
        try:
            with only_data_errors(name):
                found, apart = drawings(group)
                for drawing in found:
                    volume = _volume_of(drawing, options, series)
                    result.records.append(_record(drawing, volume, patient, name, row))
                if apart:
                    result.incomplete_volumes.add(volume)
                    result.notes.append(
                        f"{name}, row {row}: {apart} drawings apart from the two axes of the same"
                        " group are not used."
                    )
        except DataError as error:
            volume = _any_volume(options, set(series.values()))
            result.refuse(DataError(error.message, path=name, row=row), volume)
    outside = _outside(report, groups)
    if str(report.SOPClassUID) == _KEY_OBJECTS:
        error = DataError(
            "Expected measurements but got a key object selection, which marks whole images."
            " Measure the lesions on them, or move it elsewhere.",
            path=name,
        )
        result.refuse(error, _any_volume(options, set(series.values())))
    elif outside or not groups:
        what = f"{outside} of them outside" if outside else "a report without any"
        error = DataError(
            "Expected measurements of a long and a short axis in measurement groups but got"
            f" {what}. Export them as TID 1500.",
            path=name,
        )
        result.refuse(error, _any_volume(options, set(series.values())))
    return result


def _record(
    drawing: Drawing, volume: str, patient: tuple[str | None, str | None], name: str, row: int
) -> BookmarkRecord:
    uid, frame_number = drawing.image
    return BookmarkRecord(
        volume,
        drawing.points,
        "pixel" if drawing.points.shape[1] == 2 else "LPS",
        patient=patient[0],
        file=name,
        row=row,
        instance_uid=uid,
        frame_number=frame_number,
        shape=drawing.shape,
        drawn=drawing.drawn,
        patient_key=patient[1],
        lengths_mm=drawing.lengths_mm,
        may_swap_spacing=drawing.may_swap_spacing,
        frame_uid=drawing.frame_uid,
    )


def _outside(report: Dataset, groups: list[Dataset]) -> int:
    """Count the measurements and drawings outside of groups; those of the image library aside."""
    inside = {id(item) for group in groups for item in items_below(group)}
    for item in items_below(report):
        if is_item(item, "CONTAINER", codes.DCM.ImageLibrary):
            inside |= {id(entry) for entry in items_below(item)}
    return sum(
        id(item) not in inside and ("GraphicData" in item or str(item.get("ValueType")) == "NUM")
        for item in items_below(report)
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


def _volume_of(drawing: Drawing, options: Options, series: dict[str, str]) -> str:
    uid = drawing.image[0]
    return volume_named(options, {series[uid]} if uid in series else set(series.values()))


def _any_volume(options: Options, referenced: set[str]) -> str | None:
    """Return the volume of a report, if it can be told."""
    try:
        return volume_named(options, referenced)
    except DataError:
        return None
