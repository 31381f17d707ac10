"""What DICOM results have in common: derived UIDs, fixed dates, the algorithm's name.

A second run on the same scan with the same model writes the same bytes: UIDs come from the source
series, the findings and the format; dates and times are those of the study, not of the run.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from dataclasses import replace
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import Code

from data_prep.atomic_files import json_bytes
from mmglan.detections.findings import Findings, Lesion
from mmglan.version import __version__

MANUFACTURER = "mmglan"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://mmglan.invalid/results")
LYMPH_NODE = Code("59441001", "SCT", "Lymph node")
LESION = Code("52988006", "SCT", "Lesion")
_NO_DATE, _NO_TIME = "19000101", "000000"


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
    """Return the model's name in at most 64 characters."""
    return str(findings.model.get("name") or "mmglan detector")[:64]


def model_version(findings: Findings) -> str:
    """Return the model's version, or the package's, in at most 64 characters."""
    return str(findings.model.get("version") or __version__)[:64]


def warning_text(findings: Findings) -> str:
    """Return the warnings as one text in plain characters."""
    text = "WARNING: " + " ".join(findings.warnings)
    return text.encode("ascii", "replace").decode()[:10000]


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
