"""What DICOM results have in common: derived UIDs, fixed dates, the algorithm's name.

A second run on the same scan with the same model writes the same bytes: UIDs come from the source
series, the findings and the format; dates and times are those of the study, not of the run.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import Code
from pydicom.valuerep import DA, TM

from data_prep.atomic_files import json_bytes
from data_prep.volumes.dicom.source import SourceSlice, images_of
from mmglan.detections.findings import Findings, Lesion
from mmglan.version import __version__

MANUFACTURER = "mmglan"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://mmglan.invalid/results")
LYMPH_NODE = Code("59441001", "SCT", "Lymph node")
LESION = Code("52988006", "SCT", "Lesion")
# Of patient and study, what the standard requires in every object (type 2: may be empty).
_COPIED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
# Patient, clinical trial, request, visit.
_PATIENT_GROUPS = (0x0010, 0x0012, 0x0032, 0x0038)
_OPTIONAL = (
    *("StudyDescription", "ConsultingPhysicianName", "ConsultingPhysicianIdentificationSequence"),
    *("PhysiciansOfRecord", "PhysiciansOfRecordIdentificationSequence"),
    *("NameOfPhysiciansReadingStudy", "PhysiciansReadingStudyIdentificationSequence"),
    *("ReferringPhysicianIdentificationSequence", "IssuerOfAccessionNumberSequence"),
    *("ReferencedStudySequence", "ReferencedPatientSequence", "ProcedureCodeSequence"),
    *("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence"),
    *("InstitutionName", "InstitutionAddress", "InstitutionCodeSequence"),
    *("InstitutionalDepartmentName", "InstitutionalDepartmentTypeCodeSequence"),
    "ContributingEquipmentSequence",  # names the scanner's institution and operators
)
_NO_DATE, _NO_TIME = "19000101", "000000"


def result_images(sources: Sequence[SourceSlice]) -> list[Dataset]:
    """Return the images of a scan; the first has all that results copy of patient and study.

    What is absent, as in pseudonymised archives, or not of its type becomes empty in its header,
    as the standard allows.
    """
    images = images_of(sources)
    for keyword in _COPIED:
        if keyword not in images[0] or not _is_valid(images[0], keyword):
            setattr(images[0], keyword, "")
    sets = images[0].get("SpecificCharacterSet")
    if isinstance(sets, Sequence) and not isinstance(sets, str) and not sets[0]:
        # The standard lets the first of several be empty, highdicom does not.
        images[0].SpecificCharacterSet = ["ISO 2022 IR 6", *sets[1:]]
    return images


def _is_valid(image: Dataset, keyword: str) -> bool:
    value = str(image[keyword].value or "")
    if keyword == "PatientSex":
        return value in ("", "M", "F", "O")
    check = {"DA": DA, "TM": TM}.get(image[keyword].VR)
    try:
        return check is None or not value or check(value) is not None
    except ValueError:
        return False


def derived_uid(*parts: Any) -> hd.UID:
    """Return a UID made from `parts` alone."""
    return hd.UID.from_uuid(str(uuid.uuid5(_NAMESPACE, "/".join(map(str, parts)))))


def findings_key(findings: Findings) -> str:
    """Return what tells results apart: other lesions, another model or threshold."""
    content = json_bytes(replace(findings, volume_id="").to_json())
    return hashlib.sha256(content).hexdigest()


def tracking_uid(source: Dataset, findings: Findings, lesion: Lesion) -> hd.UID:
    """Return the UID under which SEG and SR speak of the same lesion."""
    return derived_uid(source.SeriesInstanceUID, findings_key(findings), "lesion", lesion.number)


def model_name(findings: Findings) -> str:
    """Return the model's name in at most 64 plain characters."""
    return _plain(findings.model.get("name") or "mmglan detector")


def model_version(findings: Findings) -> str:
    """Return the model's version, or the package's, in at most 64 plain characters."""
    return _plain(findings.model.get("version") or __version__)


def warning_text(findings: Findings) -> str:
    """Return the warnings as one text in plain characters; empty without one."""
    if not findings.warnings:
        return ""
    return _plain("WARNING: " + " ".join(findings.warnings), 10000)


def _plain(text: Any, length: int = 64) -> str:
    """Return text that every character set of DICOM holds, without the separator of values."""
    return str(text).encode("ascii", "replace").decode().replace("\\", "/")[:length]


def keep_required(result: Dataset) -> None:
    """Delete what highdicom copies beyond what the standard requires of patient and study."""
    for element in list(result):
        of_patient = element.tag.group in _PATIENT_GROUPS or element.keyword in _OPTIONAL
        if of_patient and element.keyword not in _COPIED:
            del result[element.tag]


def fix_dates(result: Dataset, source: Dataset) -> None:
    """Give a result the date and time of its study, so that the same input gives the same bytes."""
    date = source.get("StudyDate") or source.get("SeriesDate") or _NO_DATE
    time = source.get("StudyTime") or source.get("SeriesTime") or _NO_TIME
    for element in result.iterall():
        if element.keyword in ("ContentDate", "SeriesDate", "InstanceCreationDate"):
            element.value = date
        elif element.keyword in ("ContentTime", "SeriesTime", "InstanceCreationTime"):
            element.value = time
        elif element.keyword in ("ContributionDateTime", "ObservationDateTime"):
            element.value = f"{date}{time}"


def file_bytes(result: Dataset) -> bytes:
    """Return a result as the bytes of a DICOM file."""
    stream = io.BytesIO()
    result.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
